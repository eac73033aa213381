// A fake gateway for the real client library: the test controls each fake socket.

import type { Position } from "../../src/state/model";

type Command = Readonly<Record<string, unknown>> & { readonly id?: number };

export class FakeSocket {
  static readonly made: FakeSocket[] = [];
  static onCommand: (socket: FakeSocket, command: Command) => void = () => undefined;

  readonly url: string;
  readyState = 0;
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { readonly data: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null = null;

  constructor(url: string) {
    this.url = url;
    FakeSocket.made.push(this);
  }

  static last(): FakeSocket {
    const socket = FakeSocket.made.at(-1);
    if (socket === undefined) {
      throw new Error("no socket was made");
    }
    return socket;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  fail(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  receive(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  send(data: string): void {
    for (const line of data.split("\n")) {
      FakeSocket.onCommand(this, JSON.parse(line) as Command);
    }
  }

  close(): void {
    this.readyState = 3;
  }
}

/** Accepts connect and subscribe commands; `recovers` returns the reply to a subscribe command with a position. */
export function accept(recovers: () => { readonly recovered: boolean; readonly at: Position }): void {
  FakeSocket.onCommand = (socket, { id, ...command }) => {
    if ("connect" in command) {
      socket.receive({ id, connect: { client: "me", ping: 25, pong: true } });
    } else if ("subscribe" in command) {
      const { recovered, at } = recovers();
      socket.receive({
        id,
        subscribe: { recoverable: true, positioned: true, was_recovering: true, recovered, ...at },
      });
    } else if ("rpc" in command) {
      socket.receive({ id, rpc: { data: { epoch: "e", offset: 9, duplicate: false } } });
    }
  };
}
