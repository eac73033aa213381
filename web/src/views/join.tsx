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
      <div class="join-text">
        <h2 id="join-title">Join with your own client</h2>
        <p class="dim">
          Run <code>npm install centrifuge ws</code> in an empty directory, save this program there as{" "}
          <code>join.mjs</code>, and run <code>node join.mjs</code>. It paints one pixel and prints the offset
          at which it is stored.{" "}
          {config.isKillAllowed ? "Kill the gateway: it" : "When the gateway is restarted, it"} prints why it
          was disconnected, and that it has resumed.
        </p>
        <button type="button" class="quiet" onClick={() => void copy()}>
          {copying === "copied" ? "Copied" : "Copy the program"}
        </button>
        <p role="status" class="bad">
          {copying === "failed" && "This browser does not allow copying here. Select the text and copy it."}
        </p>
      </div>
      <pre>
        <code>{code}</code>
      </pre>
    </section>
  );
}

/** The example program: short enough to read, in lines that fit next to the text. */
export function program({ gateway, channel, width, height, colors }: Config): string {
  return `import { randomInt, randomUUID } from "node:crypto";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";

const client = new Centrifuge("${gateway}", {
  websocket: WebSocket,
  data: { name: "my client" },
  maxReconnectDelay: 1000,
});
client.on("connecting", ({ reason }) => console.log("connecting:", reason));
client.on("connected", () => console.log("connected"));

const canvas = client.newSubscription("${channel}");
canvas.on("subscribed", ({ recovered }) => console.log("subscribed; resumed:", recovered));
canvas.on("publication", ({ offset, data }) => console.log(offset, data));
canvas.subscribe();
client.connect();

// If the call fails, publish again with the same key: the pixel is stored once.
const at = { x: randomInt(${width}), y: randomInt(${height}), color: randomInt(${colors.length}) };
const data = { ...at, by: "my client" };
const request = { channel: "${channel}", data, idempotency_key: randomUUID() };
console.log("stored:", (await client.rpc("gw.publish", request)).data);`;
}
