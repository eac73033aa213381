// Connects the parts: the demo's server, the connection, the picture and the queue. Events are dispatched to the store
// as actions; the views call the returned functions.

import type { Cell, Config } from "../state/model";
import type { Action } from "../state/reduce";
import type { State } from "../state/state";
import type { Store } from "../state/store";
import { pageClock } from "./clock";
import { Connection } from "./connection";
import * as http from "./http";
import { type Live, watchLive } from "./live";
import * as parse from "./parse";
import * as persistence from "./persistence";
import { QueueStore } from "./queue-store";
import { reasonOf, retry, retryDelayMs, sleep } from "./retry";
import { POLL_MS, Sender } from "./sender";

/** A client can miss joins and leaves when a shard of the gateway lags, so presence is requested at this interval. */
const PRESENCE_MS = 30_000;

/** What the user can do on the page. */
export interface PageActions {
  /** The current state. The rendered state may be one frame older, and keys may arrive faster than frames. */
  readonly currentState: () => State;
  readonly paint: (cells: readonly Cell[]) => void;
  /** Removes all pixels, of all participants. */
  readonly clear: () => void;
  /** Highlights the user's own pixels, or ends that. */
  readonly toggleOwn: () => void;
  readonly rename: (name: string) => void;
  readonly chooseColor: (color: number) => void;
  readonly moveCursor: (cell: Cell) => void;
  readonly closeNotice: (id: number) => void;
  readonly reconnectNow: () => void;
  readonly kill: () => void;
}

export interface Feed {
  readonly actions: PageActions;
  /** Closes the connection, and removes the timers and listeners of the feed. */
  readonly stop: () => void;
}

export function startFeed(store: Store): Feed {
  const stopping = new AbortController();
  const live = watchLive(store, stopping.signal);
  const parts: Parts = { sender: null, connection: null };
  start(store, parts, stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted) {
      throw error;
    }
  });
  return { actions: pageActions(store, parts, live), stop: () => stopping.abort() };
}

/** Both parts are null until the configuration is loaded. */
interface Parts {
  sender: Sender | null;
  connection: Connection | null;
}

function pageActions(store: Store, parts: Parts, live: Live): PageActions {
  return {
    currentState: store.get,
    paint: (cells) => {
      const { color, name } = store.get();
      parts.sender?.paint(cells.map(({ x, y }) => ({ x, y, color, by: name })));
    },
    clear: () => parts.sender?.clear(store.get().name),
    toggleOwn: () => store.dispatch({ type: "ownToggled" }),
    rename: (input) => {
      const name = parse.cleanName(input) || persistence.newName();
      store.dispatch({ type: "nameChanged", name });
      if (parse.isTooLong(input)) {
        const text = `Your name was cut to ${parse.NAME_MAX} characters.`;
        store.dispatch({ type: "noticeAdded", text, tone: "info" });
      }
      persistence.saveName(name);
      parts.connection?.rename(name);
    },
    chooseColor: (color) => {
      store.dispatch({ type: "colorChosen", color });
      persistence.saveColor(color);
    },
    moveCursor: (cell) => store.dispatch({ type: "cursorMoved", cell }),
    closeNotice: (id) => store.dispatch({ type: "noticeClosed", id }),
    reconnectNow: () => parts.connection?.reconnectNow(),
    kill: () => void live.kill(),
  };
}

async function start(store: Store, parts: Parts, signal: AbortSignal): Promise<void> {
  const configFailed = (reason: string): void => store.dispatch({ type: "startFailed", reason });
  const config = await retry(http.config, configFailed, signal);
  store.dispatch({ type: "configured", config, own: persistence.own(config.channel) });
  const connection = connect(store, config, signal);
  parts.connection = connection;
  parts.sender = startSender(store, config, connection, signal);
  const pictureFailed = (reason: string): void => store.dispatch({ type: "pictureFailed", reason });
  const picture = await retry(() => http.picture(config), pictureFailed, signal);
  store.dispatch({ type: "pictureLoaded", picture, nowMs: Date.now() });
  reloadPictureWhenRequired(store, config, signal);
  connection.start({ epoch: picture.epoch, offset: picture.offset });
}

function connect(store: Store, config: Config, signal: AbortSignal): Connection {
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
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState === "visible") {
        connection.reconnectNow();
      }
    },
    { signal },
  );
  repeat(() => void loadPresence(store, connection), PRESENCE_MS, signal);
  signal.addEventListener("abort", () => connection.close());
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

function startSender(store: Store, config: Config, connection: Connection, signal: AbortSignal): Sender {
  const queue = new QueueStore(persistence.storage(), config.channel);
  const queueChanged = (): void => {
    store.dispatch({ type: "queueChanged", items: queue.items(), isPersisted: queue.isPersisted });
  };
  const sender = new Sender(queue, connection, {
    replica: () => store.get().replica,
    acked: () => store.get().acked,
    queueChanged,
    acknowledged: (stroke) => {
      store.dispatch({ type: "acknowledged", stroke });
      persistence.saveOwn(config.channel, stroke, config);
    },
    notifyUser: (text) => store.dispatch({ type: "noticeAdded", text, tone: "bad" }),
    dedupWindowMs: config.dedupWindowMs,
    tab: persistence.tab(),
    newKey: persistence.newKey,
    random: Math.random,
    now: pageClock(
      () => Date.now(),
      () => performance.now(),
    ),
  });
  window.addEventListener(
    "storage",
    ({ key, storageArea }) => {
      if (storageArea === persistence.storage() && queue.onStorage(key)) {
        queueChanged();
      }
    },
    { signal },
  );
  queueChanged();
  repeat(() => sender.poll(), POLL_MS, signal);
  return sender;
}

/** Reloads the picture whenever publications are missing. */
function reloadPictureWhenRequired(store: Store, config: Config, signal: AbortSignal): void {
  let isLoading = false;
  const isRequired = (): boolean => !signal.aborted && store.get().replica.requiredPosition !== null;
  const reload = async (): Promise<void> => {
    isLoading = true;
    for (let attempts = 0; isRequired(); attempts += 1) {
      await loadPicture(store, config, signal);
      // A failed attempt, or a picture that is not new enough, is followed by the next attempt.
      if (isRequired()) {
        await sleep(retryDelayMs(attempts), signal);
      }
    }
    isLoading = false;
  };
  const unlisten = store.listen(() => {
    if (!isLoading && isRequired()) {
      void reload();
    }
  });
  signal.addEventListener("abort", unlisten);
}

async function loadPicture(store: Store, config: Config, signal: AbortSignal): Promise<void> {
  let action: Action;
  try {
    action = { type: "pictureLoaded", picture: await http.picture(config), nowMs: Date.now() };
  } catch (error) {
    action = { type: "pictureFailed", reason: reasonOf(error) };
  }
  if (!signal.aborted) {
    store.dispatch(action);
  }
}

function repeat(task: () => void, everyMs: number, signal: AbortSignal): void {
  const timer = setInterval(task, everyMs);
  signal.addEventListener("abort", () => clearInterval(timer));
}
