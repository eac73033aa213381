// A page that is opened through a forwarded port, as with `ssh -L`: its connection needs no setting.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";
import { Demo } from "../src/demo.mjs";
import { openBrowser, User } from "../src/user.mjs";

const demo = await Demo.start({ painters: 1 });
after(() => demo.stop());
const browser = await openBrowser();
after(() => browser.close());

// The second name is in no policy of the page: the connection is permitted because its host and port are those of the page.
for (const host of ["localhost", "demo.localhost"]) {
  test(`a page at http://${host} and another port connects, and returns after a kill`, async (t) => {
    const port = await forward(t, Number(new URL(demo.address).port));
    const user = await User.open(browser, { address: `http://${host}:${port}` }, "Ada");
    t.after(() => user.close());
    const { kills } = (await demo.live()).gateway;

    await user.killButton().click();
    await user.waitForLink("reconnecting");
    await user.waitForLink("connected");

    assert.equal((await demo.live()).gateway.kills, kills + 1);
  });
}

test("a page at another name shows why it is refused, and the command that forwards the port", async (t) => {
  const page = await browser.newPage({ extraHTTPHeaders: { "X-Forwarded-For": "192.0.2.1" } });
  t.after(() => page.close());

  const response = await page.goto(demo.address);

  assert.equal(response.status(), 403);
  const { port } = new URL(demo.address);
  await page.getByRole("heading", { name: "Open the demo at a loopback address" }).waitFor();
  await page.getByText(`ssh -L ${port}:127.0.0.1:${port} HOST`, { exact: true }).waitFor();
});

/** Forwards a free port to another one until the end of the test, and returns it. */
async function forward(t, to) {
  const sockets = new Set();
  const server = createServer((socket) => {
    const other = connect(to, "127.0.0.1");
    for (const end of [socket, other]) {
      sockets.add(end);
      end.once("close", () => sockets.delete(end));
      // Either end may be reset; then the other one is closed too.
      end.on("error", () => {
        socket.destroy();
        other.destroy();
      });
    }
    socket.pipe(other).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) {
      socket.destroy();
    }
  });
  return server.address().port;
}
