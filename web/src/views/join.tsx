// Shows how another program can join the channel.

import { useState } from "preact/hooks";
import type { Config } from "../state/model";

/** The time for which the button confirms the copy. */
const COPIED_MS = 2_000;

export function Join({ config }: { config: Config }) {
  const [copying, setCopying] = useState<"idle" | "copied" | "failed">("idle");
  const code = program(config);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(code);
      setCopying("copied");
      setTimeout(() => setCopying("idle"), COPIED_MS);
    } catch {
      // Without HTTPS, a browser provides the clipboard to pages of loopback addresses only.
      setCopying("failed");
    }
  };
  return (
    <section class="join" aria-labelledby="join-title">
      <header>
        <h2 id="join-title">Join with your own client</h2>
        <button type="button" class="quiet" onClick={() => void copy()}>
          {copying === "copied" ? "Copied" : "Copy"}
        </button>
      </header>
      <p role="status" class="bad">
        {copying === "failed" && "This browser does not allow copying here. Select the text and copy it."}
      </p>
      <p class="dim">
        <code>npm install centrifuge ws</code>, save as <code>join.mjs</code>, run <code>node join.mjs</code>.
        It paints one pixel, prints the offset at which it is stored, and reconnects automatically after a
        kill.
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: wide code is scrolled with the keyboard */}
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
    </section>
  );
}

/** The example program: ten lines, so that it is quick to read and to try. */
export function program({ gateway, channel, width, height, colors }: Config): string {
  return `import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
const [by, at] = ["my client", (size) => Math.floor(Math.random() * size)];
const client = new Centrifuge("${gateway}", { websocket: WebSocket, data: { name: by } });
const canvas = client.newSubscription("${channel}", { joinLeave: true, recoverable: true });
canvas.on("publication", ({ data, offset }) => console.log(offset, data));
client.on("connecting", ({ reason }) => console.log("connecting:", reason));
const data = { x: at(${width}), y: at(${height}), color: at(${colors.length}), by }, idempotency_key = crypto.randomUUID();
canvas.once("subscribed", () => client.rpc("gw.publish", { channel: "${channel}", data, idempotency_key }).then(console.log));
canvas.subscribe(); client.connect();`;
}
