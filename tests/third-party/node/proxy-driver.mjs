// Executes calls of npm `toxiproxy-node-client`: one JSON object per line on stdin, its outcome on stdout.
// Called with the URL of a proxy API. The calls are those of the README; `tests/e2e` sends them.
import { createInterface } from 'node:readline';
import { Toxiproxy } from 'toxiproxy-node-client';

const toxiproxy = new Toxiproxy(process.argv[2]);

const proxyOf = (name) => toxiproxy.get(name);
const toxicOf = async ({ proxy, toxic }) => (await proxyOf(proxy)).getToxic(toxic);
const view = (proxy) => proxy.toJson();

const calls = {
  version: () => toxiproxy.getVersion(),
  create: async ({ body }) => view(await toxiproxy.createProxy(body)),
  get: async ({ proxy }) => view(await proxyOf(proxy)),
  list: async () => Object.values(await toxiproxy.getAll()).map(view),
  populate: async ({ body }) => Object.values(await toxiproxy.populate(body)).map(view),
  update: async ({ proxy, body }) => view(await (await proxyOf(proxy)).update(body)),
  remove: async ({ proxy }) => (await proxyOf(proxy)).remove(),
  reset: () => toxiproxy.reset(),
  add_toxic: async ({ proxy, body }) => (await (await proxyOf(proxy)).addToxic(body)).toJson(),
  get_toxic: async (call) => (await toxicOf(call)).toJson(),
  update_toxic: async (call) => (await (await toxicOf(call)).update(call.body)).toJson(),
  remove_toxic: async (call) => (await toxicOf(call)).remove(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  const outcome = await calls[call.do](call).then(
    (ok) => ({ ok: ok ?? null }),
    (error) => ({ error: error.message }),
  );
  process.stdout.write(`${JSON.stringify(outcome)}\n`);
}
