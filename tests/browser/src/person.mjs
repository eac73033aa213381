// A person at a page: sees what stands there, draws with mouse, keys or a finger, and presses the button.

import { chromium as playwright } from "playwright-core";
import { chromium } from "./places.mjs";
import { PATIENCE_MS } from "./until.mjs";
import { Wire } from "./wire.mjs";

const DESKTOP = { width: 1280, height: 900 };

/** The browser; as root it has no sandbox, and it opens pages of this machine only. */
export function openBrowser() {
  return playwright.launch({ executablePath: chromium() });
}

export class Person {
  #context;
  page;
  name;
  wire = new Wire();
  /** Each change of the badge, as it stood on the page, over reloads too. */
  badges = [];
  /** While true, acknowledgements do not reach the page. */
  isDeaf = false;

  /** Opens the page in a browser profile of its own. The further options are those of a browser context. */
  static async open(browser, demo, name, options = {}) {
    const person = new Person();
    person.name = name;
    person.#context = await browser.newContext({ viewport: DESKTOP, reducedMotion: "reduce", ...options });
    person.page = await person.#context.newPage();
    person.page.setDefaultTimeout(PATIENCE_MS);
    await person.page.exposeBinding("keepBadge", (_, badge) => person.badges.push(badge));
    await person.page.addInitScript(watchBadge);
    await person.page.addInitScript(remember, { "steadfast.name": name });
    person.page.on("websocket", (socket) => {
      const books = person.wire.connection();
      socket.on("framesent", ({ payload }) => books.sent(payload));
      socket.on("framereceived", ({ payload }) => books.received(payload));
    });
    if (demo !== null) {
      await person.visit(demo.address);
    }
    return person;
  }

  /** As `open`, with a hand on the wire: see `isDeaf`. */
  static async openWithLossyWire(browser, demo, name) {
    const person = await Person.open(browser, null, name);
    await person.page.routeWebSocket(/connection\/websocket/u, (socket) => {
      const books = person.wire.connection();
      const gateway = socket.connectToServer();
      socket.onMessage((frame) => {
        books.sent(frame);
        gateway.send(frame);
      });
      gateway.onMessage((frame) => {
        const heard = person.isDeaf ? books.withoutAcks(frame) : frame;
        if (heard !== "") {
          books.received(heard);
          socket.send(heard);
        }
      });
    });
    await person.visit(demo.address);
    return person;
  }

  async visit(address) {
    await this.page.goto(address);
    await this.sees("badge", /^Connected/u);
    await this.sees("waiting", /^All that you drew is acknowledged$/u);
  }

  part(name) {
    return this.page.getByTestId(name);
  }

  /** Waits until a part of the page reads so. */
  async sees(part, text) {
    await this.part(part).filter({ hasText: text }).waitFor();
  }

  /** Waits for a state of the connection. */
  async isLinked(kind) {
    await this.page.locator(`[data-testid="badge"][data-link="${kind}"]`).waitFor();
  }

  async choose(color) {
    await this.page.getByRole("radio", { name: color, exact: true }).check({ force: true });
  }

  /** The middle of a cell, as a place in the window. */
  async placeOf({ x, y }, { width, height }) {
    const box = await this.part("board").boundingBox();
    return { x: box.x + ((x + 0.5) * box.width) / width, y: box.y + ((y + 0.5) * box.height) / height };
  }

  /** Paints single cells with the mouse. */
  async click(cells, config) {
    for (const cell of cells) {
      const at = await this.placeOf(cell, config);
      await this.page.mouse.click(at.x, at.y);
    }
  }

  /** Paints a line with the mouse. */
  async drag(from, to, config) {
    const [begin, end] = [await this.placeOf(from, config), await this.placeOf(to, config)];
    await this.page.mouse.move(begin.x, begin.y);
    await this.page.mouse.down();
    await this.page.mouse.move(end.x, end.y, { steps: 4 });
    await this.page.mouse.up();
  }

  killButton() {
    return this.page.getByRole("button", { name: "Kill the gateway" });
  }

  async goOffline() {
    await this.#context.setOffline(true);
  }

  async goOnline() {
    await this.#context.setOffline(false);
  }

  /** The kinds of connection that the badge went through, without repeats. */
  links() {
    return this.badges.map(({ link }) => link).filter((link, at, all) => link !== all[at - 1]);
  }

  close() {
    return this.#context.close();
  }
}

/** Tells each change of the badge. Runs in the page, before anything of it. */
function watchBadge() {
  let last = "";
  const look = () => {
    const badge = document.querySelector('[data-testid="badge"]');
    const text = badge?.textContent ?? "";
    if (text !== last) {
      last = text;
      window.keepBadge({ link: badge?.dataset.link ?? null, text });
    }
  };
  const all = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(document, all);
}

/** Puts values into the page's storage, where there is one. Runs in the page. */
function remember(values) {
  try {
    for (const [entry, value] of Object.entries(values)) {
      localStorage.setItem(entry, value);
    }
  } catch {
    // The browser's own page about a missing network has none.
  }
}
