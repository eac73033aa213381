// A server of npm `rpc-websockets` for JSON-RPC 2.0, on a port of loopback (0 selects a free one) and with the key of its
// login. It prints its port, and a line for each `create` before it replies.
import { promisify } from 'node:util';
import { Server } from 'rpc-websockets';

const [port, key] = process.argv.slice(2);
const server = new Server({ host: '127.0.0.1', port: Number(port) });
const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const sleep = promisify(setTimeout);
const noted = [];
server.setAuth((params) => params[0] === key);
server.register('add', ([a, b]) => a + b);
server.register('echo', (params) => params ?? null);
server.register('fail', () => {
  throw { code: -32050, message: 'no', data: ['x'] };
});
server.register('throw', () => {
  throw new TypeError('broken');
});
server.register('note', (params) => noted.push(...params));
server.register('noted', () => noted);
server.register('create', async ([name]) => {
  print({ created: name });
  await sleep(20);
  return name;
}).protected();

server.on('listening', () => print({ port: server.wss.address().port }));
