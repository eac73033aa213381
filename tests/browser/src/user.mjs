// A user of the page: reads it, draws with mouse, keys or touch, and clicks the button.

import { chromium as playwright } from "playwright-core";
import { FrameLog } from "./frame-log.mjs";
import { chromium } from "./paths.mjs";
import { TIMEOUT_MS } from "./until.mjs";

const DESKTOP = { width: 1280, height: 900 };

/** Starts the browser. As root it runs without a sandbox; the tests open local pages only. */
export function openBrowser() {
  return playwright.launch({ executablePath: chromium() });
}

export class User {
  #context;
  page;
  name;
  frames = new FrameLog();
  /** Each change of the badge, also across reloads, with the state of the gateway that the page shows at the same time. */
  badges = [];
  /** While true, acknowledgements do not reach the page. */
  isDroppingAcks = false;

  /** Opens the page in a new browser context; `options` are Playwright's context options. */
  static async open(browser, demo, name, options = {}) {
    const user = new User();
    user.name = name;
    user.#context = await browser.newContext({ viewport: DESKTOP, reducedMotion: "reduce", ...options });
    user.page = await user.#context.newPage();
    user.page.setDefaultTimeout(TIMEOUT_MS);
    await user.page.exposeBinding("recordBadge", (_, badge) => user.badges.push(badge));
    await user.page.addInitScript(watchBadge);
    await user.page.addInitScript(initStorage, { "steadfast.name": name });
    user.page.on("websocket", (socket) => {
      const connection = user.frames.connection();
      socket.on("framesent", ({ payload }) => connection.sent(payload));
      socket.on("framereceived", ({ payload }) => connection.received(payload));
    });
    if (demo !== null) {
      await user.visit(demo.address);
    }
    return user;
  }

  /** Like `open`, but acknowledgements can be dropped: see `isDroppingAcks`. */
  static async openWithAckFilter(browser, demo, name) {
    const user = await User.open(browser, null, name);
    await user.page.routeWebSocket(/connection\/websocket/u, (socket) => {
      const connection = user.frames.connection();
      const gateway = socket.connectToServer();
      socket.onMessage((frame) => {
        connection.sent(frame);
        gateway.send(frame);
      });
      gateway.onMessage((frame) => {
        const forwarded = user.isDroppingAcks ? connection.withoutAcks(frame) : frame;
        if (forwarded !== "") {
          connection.received(forwarded);
          socket.send(forwarded);
        }
      });
    });
    await user.visit(demo.address);
    return user;
  }

  async visit(address) {
    await this.page.goto(address);
    await this.waitForText("badge", /^Connected/u);
    await this.waitForText("queue-status", /^All pixels that you drew are acknowledged$/u);
  }

  part(name) {
    return this.page.getByTestId(name);
  }

  /** Waits until a part of the page has this text. */
  async waitForText(part, text) {
    await this.part(part).filter({ hasText: text }).waitFor();
  }

  /** Waits for a state of the page's connection. */
  async waitForLink(kind) {
    await this.page.locator(`[data-testid="badge"][data-link="${kind}"]`).waitFor();
  }

  async choose(color) {
    await this.page.getByRole("radio", { name: color, exact: true }).check({ force: true });
  }

  /** The centre of a cell, in window coordinates. */
  async pointOf({ x, y }, { width, height }) {
    const box = await this.part("board").boundingBox();
    return { x: box.x + ((x + 0.5) * box.width) / width, y: box.y + ((y + 0.5) * box.height) / height };
  }

  /** Paints single cells with the mouse. */
  async click(cells, config) {
    for (const cell of cells) {
      const at = await this.pointOf(cell, config);
      await this.page.mouse.click(at.x, at.y);
    }
  }

  /** Paints a line with the mouse. */
  async drag(from, to, config) {
    const [begin, end] = [await this.pointOf(from, config), await this.pointOf(to, config)];
    await this.page.mouse.move(begin.x, begin.y);
    await this.page.mouse.down();
    await this.page.mouse.move(end.x, end.y, { steps: 4 });
    await this.page.mouse.up();
  }

  /** Waits until a tile of the live report shows this number. */
  async tile(name, number) {
    const tile = this.page.locator(".tile", { has: this.page.getByText(name, { exact: true }) });
    await tile.getByText(String(number), { exact: true }).waitFor();
  }

  killButton() {
    return this.page.getByRole("button", { name: "Kill the gateway" });
  }

  /** Lets the browser report no network until a reload, as without Wi-Fi: connections on the device still work. */
  async reportOffline() {
    await this.page.evaluate(() => {
      Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
      dispatchEvent(new Event("offline"));
    });
  }

  close() {
    return this.#context.close();
  }
}

/** Reports each change of the badge. Runs in the page, before its scripts. */
function watchBadge() {
  let last = "";
  const report = () => {
    const badge = document.querySelector('[data-testid="badge"]');
    const text = badge?.textContent ?? "";
    const gateway = document.querySelector('[data-testid="gateway"]')?.dataset.state ?? null;
    if (`${text} ${gateway}` !== last) {
      last = `${text} ${gateway}`;
      window.recordBadge({ link: badge?.dataset.link ?? null, text, gateway });
    }
  };
  const all = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(report).observe(document, all);
}

/** Writes values to the page's storage, if there is one. Runs in the page. */
function initStorage(values) {
  try {
    for (const [entry, value] of Object.entries(values)) {
      localStorage.setItem(entry, value);
    }
  } catch {
    // The browser's own error page has no storage.
  }
}
