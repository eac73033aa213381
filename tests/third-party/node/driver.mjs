// Owns clients of npm `centrifuge` and executes the harness's commands, one JSON object per line (see ../README.md).
// It makes no decisions: no retry, no reconnect, no memory of publications. Those belong to the SDK or the harness.
import { createInterface } from 'node:readline';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';

/** @type {Map<string, Centrifuge>} */
const clients = new Map();

/** Codes below this come from the SDK itself, not from the gateway. */
const SERVER_CODES_FROM = 100;

/** The SDK's own codes for a call without a reply: timeout, transport closed, client disconnected, connection closed. */
const LOST = new Set([1, 2, 3, 4, 10, 11]);

// Lines are written once per event loop iteration, so that a burst of publications is one write.
let unsent = '';
function send(line) {
  if (unsent === '') {
    setImmediate(() => {
      const text = unsent;
      unsent = '';
      process.stdout.write(text);
    });
  }
  unsent += `${JSON.stringify(line)}\n`;
}

function failure(cause) {
  const code = cause?.code;
  const message = String(cause?.message ?? cause);
  if (typeof code === 'number' && code >= SERVER_CODES_FROM) {
    return { kind: 'server', code, message };
  }
  return { kind: LOST.has(code) ? 'lost' : 'rejected', message: `${code}: ${message}` };
}

function open({ client: name, url }) {
  const known = clients.get(name);
  if (known) {
    known.connect();
    return;
  }
  const client = new Centrifuge(url, { websocket: WebSocket, name: 'third-party-node' });
  client.on('connecting', (c) => send({ event: 'connecting', client: name, code: c.code, reason: c.reason }));
  client.on('connected', (c) => send({ event: 'connected', client: name, client_id: c.client }));
  client.on('disconnected', (c) => send({ event: 'disconnected', client: name, code: c.code, reason: c.reason }));
  client.on('error', (c) =>
    send({ event: 'warning', client: name, channel: null, code: c.error?.code ?? 0, message: String(c.error?.message) }),
  );
  clients.set(name, client);
  client.connect();
}

function subscribe(client, { client: name, channel, recoverable, join_leave, since, data }) {
  const known = client.getSubscription(channel);
  if (known) {
    known.subscribe();
    return;
  }
  const options = { recoverable, positioned: recoverable, joinLeave: join_leave, data };
  if (since) {
    options.since = since;
  }
  const subscription = client.newSubscription(channel, options);
  const report = (event, fields) => send({ event, client: name, channel, ...fields });
  subscription.on('subscribing', (c) => report('subscribing', { code: c.code, reason: c.reason }));
  subscription.on('unsubscribed', (c) => report('unsubscribed', { code: c.code, reason: c.reason }));
  subscription.on('subscribed', (c) =>
    report('subscribed', {
      was_recovering: c.wasRecovering,
      recovered: c.recovered,
      recoverable: c.recoverable,
      offset: c.streamPosition?.offset ?? 0,
      epoch: c.streamPosition?.epoch ?? '',
    }),
  );
  subscription.on('publication', (c) =>
    report('publication', { offset: c.offset ?? 0, data: c.data, publisher: c.info?.client ?? null }),
  );
  subscription.on('join', (c) => report('join', { client_id: c.info.client }));
  subscription.on('leave', (c) => report('leave', { client_id: c.info.client }));
  subscription.on('error', (c) => report('warning', { code: c.error?.code ?? 0, message: String(c.error?.message) }));
  subscription.subscribe();
}

async function history(client, { channel, limit, since, reverse }) {
  const options = { limit, reverse };
  if (since) {
    options.since = since;
  }
  const result = await client.history(channel, options);
  return {
    offset: result.offset,
    epoch: result.epoch,
    publications: result.publications.map((p) => ({ offset: p.offset ?? 0, data: p.data })),
  };
}

/** Publishes many times in one message. */
async function publishBatch(client, { channel, count }) {
  client.startBatching();
  const publications = Array.from({ length: count }, (_, number) => client.publish(channel, number + 1));
  // The SDK has queued its commands before the next iteration of the event loop.
  await new Promise((resolve) => setImmediate(resolve));
  client.stopBatching();
  const outcomes = await Promise.allSettled(publications);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    throw failed.reason;
  }
  return { acknowledged: outcomes.length };
}

async function execute(command) {
  if (command.do === 'open') {
    open(command);
    return {};
  }
  const client = clients.get(command.client);
  if (!client) {
    throw new Error(`no client named ${command.client}`);
  }
  switch (command.do) {
    case 'close':
      client.disconnect();
      return {};
    case 'subscribe':
      subscribe(client, command);
      return {};
    case 'unsubscribe':
      client.getSubscription(command.channel)?.unsubscribe();
      return {};
    case 'publish':
      await client.publish(command.channel, command.data);
      return {};
    case 'publish_batch':
      return publishBatch(client, command);
    case 'rpc':
      return { data: (await client.rpc(command.method, command.data)).data };
    case 'history':
      return history(client, command);
    case 'presence':
      return { clients: Object.keys((await client.presence(command.channel)).clients) };
    case 'presence_stats': {
      const stats = await client.presenceStats(command.channel);
      return { num_clients: stats.numClients, num_users: stats.numUsers };
    }
    default:
      throw new Error(`unknown command ${command.do}`);
  }
}

const commands = createInterface({ input: process.stdin });
commands.on('line', (line) => {
  const command = JSON.parse(line);
  execute(command).then(
    (ok) => send({ id: command.id, ok }),
    (cause) => send({ id: command.id, error: failure(cause) }),
  );
});
commands.on('close', () => process.exit(0));

send({ event: 'ready', driver: 'node' });
