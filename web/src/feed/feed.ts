// Puts the parts together: the demo's server, the connection, the picture, the queue. Facts go to the store, and what
// the person does comes in through the returned functions.

import type { Cell, Config } from "../state/model";
import type { State } from "../state/state";
import type { Store } from "../state/store";
import { Connection } from "./connection";
import * as http from "./http";
import { watchLive } from "./live";
import * as memory from "./memory";
import * as parse from "./parse";
import { pause, untilDone } from "./repeat";
import { LOOK_MS, Sender } from "./sender";
import { Shelf } from "./shelf";

/** Between two looks for a picture that is new enough. */
const PICTURE_PAUSE_MS = 250;
/** Joins and leaves can be missed when the gateway falls behind; presence is asked again so often. */
const PRESENCE_MS = 30_000;

/** What the person can do. */
export interface Feed {
  /** The state right now: what is on the screen is up to a frame older, and keys come faster than frames. */
  readonly now: () => State;
  readonly paint: (cells: readonly Cell[]) => void;
  readonly rename: (name: string) => void;
  readonly choose: (color: number) => void;
  readonly moveTo: (cell: Cell) => void;
  readonly closeNotice: (id: number) => void;
  readonly tryNow: () => void;
  readonly kill: () => void;
}

export function startFeed(store: Store): Feed {
  let sender: Sender | null = null;
  let connection: Connection | null = null;
  const live = watchLive(store);
  void begin(store, (parts) => {
    ({ sender, connection } = parts);
  });
  return {
    now: store.get,
    paint: (cells) => {
      const { color, name } = store.get();
      sender?.paint(cells.map(({ x, y }) => ({ x, y, color, by: name })));
    },
    rename: (written) => {
      const name = parse.cleanName(written) || memory.newName();
      store.dispatch({ type: "named", name });
      memory.keepName(name);
      connection?.rename(name);
    },
    choose: (color) => {
      store.dispatch({ type: "colorChosen", color });
      memory.keepColor(color);
    },
    moveTo: (cell) => store.dispatch({ type: "cursorMoved", cell }),
    closeNotice: (id) => store.dispatch({ type: "noticeClosed", id }),
    tryNow: () => connection?.kick(),
    kill: () => void live.kill(),
  };
}

interface Parts {
  readonly sender: Sender;
  readonly connection: Connection;
}

async function begin(store: Store, ready: (parts: Parts) => void): Promise<void> {
  const onFailure = (reason: string): void => store.dispatch({ type: "troubled", reason });
  const config = await untilDone(http.config, onFailure);
  store.dispatch({ type: "configured", config });
  const connection = connect(store, config);
  const sender = startSender(store, config, connection);
  ready({ sender, connection });
  const picture = await untilDone(() => http.picture(config), onFailure);
  store.dispatch({ type: "pictureLoaded", picture, nowMs: Date.now() });
  followPicture(store, config);
  connection.start({ epoch: picture.epoch, offset: picture.offset });
}

function connect(store: Store, config: Config): Connection {
  const connection: Connection = new Connection(
    config.gateway,
    config.channel,
    store.get().name,
    {
      linkChanged: (link, self) => store.dispatch({ type: "linkChanged", link, self, nowMs: Date.now() }),
      subscribed: (at, isRecovered) => {
        store.dispatch({ type: "subscribed", at, isRecovered, nowMs: Date.now() });
        void askPresence(store, connection);
      },
      published: (offset, data) =>
        store.dispatch({ type: "published", placed: parse.placed(offset, data, config) }),
      joined: (client, info) => store.dispatch({ type: "joined", person: parse.person(client, info) }),
      left: (client) => store.dispatch({ type: "left", client }),
    },
    { network: window, isOnline: () => navigator.onLine, dice: Math.random },
  );
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      connection.kick();
    }
  });
  setInterval(() => void askPresence(store, connection), PRESENCE_MS);
  return connection;
}

async function askPresence(store: Store, connection: Connection): Promise<void> {
  if (!connection.isSubscribed) {
    return;
  }
  try {
    const present = await connection.presence();
    const people = [...present].map(([client, info]) => parse.person(client, info));
    store.dispatch({ type: "presenceTold", people });
  } catch {
    // Joins and leaves go on, and the next question is never far.
  }
}

function startSender(store: Store, config: Config, connection: Connection): Sender {
  const shelf = new Shelf(memory.drawer(), config.channel);
  const queueChanged = (): void => {
    store.dispatch({ type: "queueChanged", items: shelf.items(), isKept: shelf.isKept });
  };
  const sender = new Sender(shelf, connection, {
    follow: () => store.get().follow,
    acked: () => store.get().acked,
    queueChanged,
    acknowledged: (pixel) => store.dispatch({ type: "acknowledged", pixel }),
    noticed: (text) => store.dispatch({ type: "noticed", text, tone: "bad" }),
    windowMs: config.dedupeWindowMs,
    tab: memory.tab(),
    newKey: memory.newKey,
    dice: Math.random,
  });
  window.addEventListener("storage", ({ key, storageArea }) => {
    if (storageArea === memory.drawer() && shelf.onStorage(key)) {
      queueChanged();
    }
  });
  queueChanged();
  setInterval(() => sender.look(), LOOK_MS);
  return sender;
}

/** Loads the picture again whenever the channel alone cannot carry it on. */
function followPicture(store: Store, config: Config): void {
  let isLoading = false;
  const load = async (): Promise<void> => {
    isLoading = true;
    while (store.get().follow.needed !== null) {
      try {
        const picture = await http.picture(config);
        store.dispatch({ type: "pictureLoaded", picture, nowMs: Date.now() });
      } catch {
        // The application has no position yet; the page says that it waits for the picture.
      }
      if (store.get().follow.needed !== null) {
        await pause(PICTURE_PAUSE_MS);
      }
    }
    isLoading = false;
  };
  store.listen(() => {
    if (!isLoading && store.get().follow.needed !== null) {
      void load();
    }
  });
}
