// Connects the parts: the demo's server, the connection, the picture and the queue. Events are dispatched to the store
// as actions; the views call the returned functions.

import type { Cell, Config } from "../state/model";
import type { State } from "../state/state";
import type { Store } from "../state/store";
import { Connection } from "./connection";
import * as http from "./http";
import { watchLive } from "./live";
import * as parse from "./parse";
import * as persistence from "./persistence";
import { QueueStore } from "./queue-store";
import { retry, sleep } from "./retry";
import { POLL_MS, Sender } from "./sender";

/** Between two requests for a picture that is new enough. */
const PICTURE_RETRY_MS = 250;
/** A client can miss joins and leaves when a shard of the gateway lags, so presence is requested at this interval. */
const PRESENCE_MS = 30_000;

/** What the user can do on the page. */
export interface PageActions {
  /** The current state. The screen may be one frame older, and keys may arrive faster than frames. */
  readonly currentState: () => State;
  readonly paint: (cells: readonly Cell[]) => void;
  readonly rename: (name: string) => void;
  readonly chooseColor: (color: number) => void;
  readonly moveCursor: (cell: Cell) => void;
  readonly closeNotice: (id: number) => void;
  readonly reconnectNow: () => void;
  readonly kill: () => void;
}

export function startFeed(store: Store): PageActions {
  let sender: Sender | null = null;
  let connection: Connection | null = null;
  const live = watchLive(store);
  void start(store, (parts) => {
    ({ sender, connection } = parts);
  });
  return {
    currentState: store.get,
    paint: (cells) => {
      const { color, name } = store.get();
      sender?.paint(cells.map(({ x, y }) => ({ x, y, color, by: name })));
    },
    rename: (input) => {
      const name = parse.cleanName(input) || persistence.newName();
      store.dispatch({ type: "nameChanged", name });
      persistence.saveName(name);
      connection?.rename(name);
    },
    chooseColor: (color) => {
      store.dispatch({ type: "colorChosen", color });
      persistence.saveColor(color);
    },
    moveCursor: (cell) => store.dispatch({ type: "cursorMoved", cell }),
    closeNotice: (id) => store.dispatch({ type: "noticeClosed", id }),
    reconnectNow: () => connection?.reconnectNow(),
    kill: () => void live.kill(),
  };
}

interface Parts {
  readonly sender: Sender;
  readonly connection: Connection;
}

async function start(store: Store, ready: (parts: Parts) => void): Promise<void> {
  const onFailure = (reason: string): void => store.dispatch({ type: "startFailed", reason });
  const config = await retry(http.config, onFailure);
  store.dispatch({ type: "configured", config });
  const connection = connect(store, config);
  const sender = startSender(store, config, connection);
  ready({ sender, connection });
  const picture = await retry(() => http.picture(config), onFailure);
  store.dispatch({ type: "pictureLoaded", picture, nowMs: Date.now() });
  reloadPictureWhenRequired(store, config);
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
        void loadPresence(store, connection);
      },
      published: (offset, data) =>
        store.dispatch({ type: "published", publication: parse.publication(offset, data, config) }),
      joined: (client, info) =>
        store.dispatch({ type: "joined", participant: parse.participant(client, info) }),
      left: (client) => store.dispatch({ type: "left", client }),
    },
    { network: window, isOnline: () => navigator.onLine, random: Math.random },
  );
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") {
      connection.reconnectNow();
    }
  });
  setInterval(() => void loadPresence(store, connection), PRESENCE_MS);
  return connection;
}

async function loadPresence(store: Store, connection: Connection): Promise<void> {
  if (!connection.isSubscribed) {
    return;
  }
  try {
    const clients = await connection.presence();
    const participants = [...clients].map(([client, info]) => parse.participant(client, info));
    store.dispatch({ type: "presenceLoaded", participants });
  } catch {
    // Joins and leaves still arrive, and the next request follows after `PRESENCE_MS`.
  }
}

function startSender(store: Store, config: Config, connection: Connection): Sender {
  const queue = new QueueStore(persistence.storage(), config.channel);
  const queueChanged = (): void => {
    store.dispatch({ type: "queueChanged", items: queue.items(), isPersisted: queue.isPersisted });
  };
  const sender = new Sender(queue, connection, {
    replica: () => store.get().replica,
    acked: () => store.get().acked,
    queueChanged,
    acknowledged: (pixel) => store.dispatch({ type: "acknowledged", pixel }),
    notifyUser: (text) => store.dispatch({ type: "noticeAdded", text, tone: "bad" }),
    dedupWindowMs: config.dedupWindowMs,
    tab: persistence.tab(),
    newKey: persistence.newKey,
    random: Math.random,
  });
  window.addEventListener("storage", ({ key, storageArea }) => {
    if (storageArea === persistence.storage() && queue.onStorage(key)) {
      queueChanged();
    }
  });
  queueChanged();
  setInterval(() => sender.poll(), POLL_MS);
  return sender;
}

/** Reloads the picture whenever publications are missing. */
function reloadPictureWhenRequired(store: Store, config: Config): void {
  let isLoading = false;
  const load = async (): Promise<void> => {
    isLoading = true;
    while (store.get().replica.requiredPosition !== null) {
      try {
        const picture = await http.picture(config);
        store.dispatch({ type: "pictureLoaded", picture, nowMs: Date.now() });
      } catch {
        // The server may not have a position yet; the page shows that it is waiting for the picture.
      }
      if (store.get().replica.requiredPosition !== null) {
        await sleep(PICTURE_RETRY_MS);
      }
    }
    isLoading = false;
  };
  store.listen(() => {
    if (!isLoading && store.get().replica.requiredPosition !== null) {
      void load();
    }
  });
}
