// The connection to the gateway. npm `centrifuge` implements the protocol; this class schedules the reconnects, so that
// the page can show when the next attempt starts. This file does not depend on the content of publications.

import { Centrifuge, State, type Subscription } from "centrifuge";
import type { Ack, Link, Position } from "../state/model";
import { delayMs, levelAfter } from "./backoff";
import * as parse from "./parse";

/** Longer than any delay of this class, which schedules the reconnects instead of the library. */
const NEVER_MS = 3_600_000;
/** After this time the library ends a call without a reply, and an attempt that does not succeed. */
export const CALL_TIMEOUT_MS = 5_000;
/** The delay between attempts while the device reports no network, which may be wrong. */
const OFFLINE_DELAY_MS = 5_000;
/** A connection is considered dead when a ping of the gateway is overdue by this time. */
const PING_GRACE_MS = 5_000;

export interface Listener {
  readonly linkChanged: (link: Link, self: string | null) => void;
  readonly subscribed: (at: Position, isRecovered: boolean) => void;
  readonly published: (offset: number, data: unknown) => void;
  readonly joined: (client: string, info: unknown) => void;
  readonly left: (client: string) => void;
}

/** The parts of the browser that tests replace. */
export interface Environment {
  readonly network: EventTarget;
  readonly isOnline: () => boolean;
  readonly random: () => number;
  readonly websocket?: unknown;
}

/** Why a call failed. Codes below 100 are the library's own: whether the gateway processed the call is unknown. */
export interface CallError {
  readonly code: number;
  readonly message: string;
  readonly isTemporary: boolean;
}

export class Connection {
  readonly #client: Centrifuge;
  readonly #listener: Listener;
  readonly #environment: Environment;
  readonly #channel: string;
  readonly #isLoopback: boolean;
  #subscription: Subscription | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #level = 0;
  #attempt = 0;
  #connectedAt = 0;
  #cause = "";
  #link: Link = { kind: "connecting" };
  readonly #closing = new AbortController();

  constructor(url: string, channel: string, name: string, listener: Listener, environment: Environment) {
    this.#listener = listener;
    this.#environment = environment;
    this.#channel = channel;
    this.#isLoopback = isLoopback(new URL(url).hostname);
    this.#client = new Centrifuge(url, {
      data: { name },
      name: "canvas",
      minReconnectDelay: NEVER_MS,
      maxReconnectDelay: NEVER_MS,
      timeout: CALL_TIMEOUT_MS,
      maxServerPingDelay: PING_GRACE_MS,
      // This class handles changes of the network; if the library did too, two attempts would start at once.
      networkEventTarget: new EventTarget(),
      ...(environment.websocket === undefined ? {} : { websocket: environment.websocket }),
    });
    this.#client.on("connected", ({ client }) => this.#onConnected(client));
    this.#client.on("connecting", ({ reason }) => this.#onLost(reason));
    this.#client.on("error", ({ error }) => this.#onFailed(error.message));
    this.#client.on("disconnected", ({ code, reason }) => this.#onDisconnected(code, reason));
    const { signal } = this.#closing;
    environment.network.addEventListener("offline", () => this.#onOffline(), { signal });
    environment.network.addEventListener("online", () => this.reconnectNow(), { signal });
  }

  /** Connects, and reconnects indefinitely. The subscription starts after the position, so that nothing is missed. */
  start(since: Position): void {
    const options = { recoverable: true, positioned: true, joinLeave: true, since: { ...since } };
    const subscription = this.#client.newSubscription(this.#channel, options);
    this.#subscription = subscription;
    subscription.on("subscribed", ({ streamPosition, recovered }) => {
      if (streamPosition !== undefined) {
        const { epoch, offset } = streamPosition;
        this.#listener.subscribed({ epoch, offset }, recovered);
      }
    });
    subscription.on("publication", ({ offset, data }) => this.#listener.published(offset ?? 0, data));
    subscription.on("join", ({ info }) => this.#listener.joined(info.client, info.connInfo));
    subscription.on("leave", ({ info }) => this.#listener.left(info.client));
    subscription.subscribe();
    this.#startAttempt();
  }

  /** Closes the connection, which stays closed, and removes the timer and the listeners. */
  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#client.disconnect();
  }

  /** Starts an attempt now: the network is available again, the page is visible again, or the user requested it. */
  reconnectNow(): void {
    if (this.#link.kind === "connected" || this.#isAttempting()) {
      return;
    }
    this.#startAttempt();
  }

  /** Reconnects, because the gateway reads the name when a client connects; the subscription resumes. */
  rename(name: string): void {
    this.#client.setData({ name });
    if (this.#link.kind === "connected") {
      this.#cause = "the name changed";
      this.#startAttempt();
    }
  }

  /** Publishes data. The gateway applies repeated calls with one key once. An invalid reply is a temporary error. */
  async publish(data: unknown, key: string): Promise<Ack> {
    const reply = await this.#client.rpc("gw.publish", {
      channel: this.#channel,
      data,
      idempotency_key: key,
    });
    const ack = parse.ack(reply.data);
    if (ack === null) {
      throw new Error("invalid reply to gw.publish");
    }
    return ack;
  }

  /** The position of the newest publication of the channel. */
  async highWatermark(): Promise<Position> {
    const { epoch, offset } = await this.#client.history(this.#channel, { limit: 0 });
    return { epoch, offset };
  }

  /** The connection data of all subscribers of the channel, by client id. */
  async presence(): Promise<ReadonlyMap<string, unknown>> {
    const { clients } = await this.#client.presence(this.#channel);
    return new Map(Object.values(clients).map((info) => [info.client, info.connInfo]));
  }

  get isSubscribed(): boolean {
    return this.#subscription?.state === "subscribed";
  }

  #isAttempting(): boolean {
    const { kind } = this.#link;
    return (kind === "reconnecting" || kind === "offline") && this.#link.nextAttemptAtMs === null;
  }

  /** A gateway on this device needs no network. */
  get #isOffline(): boolean {
    return !this.#isLoopback && !this.#environment.isOnline();
  }

  #startAttempt(): void {
    clearTimeout(this.#timer);
    if (this.#closing.signal.aborted) {
      return;
    }
    const isFirst = this.#attempt === 0 && this.#link.kind === "connecting";
    this.#attempt += 1;
    this.#setLink(isFirst && !this.#isOffline ? { kind: "connecting" } : this.#waiting(this.#attempt, null));
    // The library's own next attempt is an hour away; after a disconnect, it connects immediately.
    this.#client.disconnect();
    this.#client.connect();
  }

  #onConnected(self: string): void {
    clearTimeout(this.#timer);
    this.#attempt = 0;
    this.#connectedAt = performance.now();
    this.#setLink({ kind: "connected", sinceMs: Date.now() }, self);
  }

  #onLost(reason: string): void {
    if (this.#link.kind !== "connected") {
      return;
    }
    this.#level = levelAfter(this.#level, performance.now() - this.#connectedAt);
    this.#onFailed(reason);
  }

  #onFailed(reason: string): void {
    if (this.#closing.signal.aborted || this.#client.state === State.Connected) {
      return;
    }
    clearTimeout(this.#timer);
    this.#cause = reason;
    const jittered = delayMs(this.#level, this.#environment.random);
    const delay = this.#isOffline ? OFFLINE_DELAY_MS + jittered : jittered;
    this.#level += 1;
    this.#timer = setTimeout(() => this.#startAttempt(), delay);
    this.#setLink(this.#waiting(this.#attempt + 1, Date.now() + delay));
  }

  /** The state before an attempt at a time, or during it if the time is null. */
  #waiting(attempt: number, nextAttemptAtMs: number | null): Link {
    return this.#isOffline
      ? { kind: "offline", nextAttemptAtMs }
      : { kind: "reconnecting", attempt, nextAttemptAtMs, cause: this.#cause };
  }

  #onDisconnected(code: number, reason: string): void {
    // Code 0 is a disconnect by this class, such as the one before an attempt.
    if (code !== 0) {
      clearTimeout(this.#timer);
      this.#setLink({ kind: "stopped", cause: reason });
    }
  }

  #onOffline(): void {
    if (this.#isLoopback || this.#closing.signal.aborted) {
      return;
    }
    // The browser does not report that its connections are dead; the next attempt shows whether the network is.
    this.#client.disconnect();
    this.#onFailed("no network");
  }

  #setLink(link: Link, self: string | null = null): void {
    this.#link = link;
    this.#listener.linkChanged(link, self);
  }
}

/** True for a host name of this device, which is reached without a network. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/u.test(hostname);
}

/** Converts an error that the library throws. */
export function callError(thrown: unknown): CallError {
  const { code, message, temporary } = (thrown ?? {}) as {
    code?: unknown;
    message?: unknown;
    temporary?: unknown;
  };
  const number = typeof code === "number" ? code : 0;
  return {
    code: number,
    message: typeof message === "string" && message !== "" ? message : "unknown error",
    isTemporary: temporary === true || number < 100,
  };
}
