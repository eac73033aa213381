// A small fan-out server on npm `ws`, in its usual form: one send per client and message.
// Every message of a connection to /pub is sent to all connections of /sub.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const subscribers = new Set();
const http = createServer((_request, response) => response.writeHead(404).end());
const server = new WebSocketServer({ server: http, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  socket.on("error", () => socket.terminate());
  if (request.url === "/sub") {
    subscribers.add(socket);
    socket.on("close", () => subscribers.delete(socket));
    return;
  }
  socket.on("message", (data, isBinary) => {
    for (const subscriber of subscribers) {
      if (subscriber.readyState === 1) subscriber.send(data, { binary: isBinary });
    }
  });
});

const port = Number(process.argv[2] ?? 0);
http.listen(port, "127.0.0.1", 4096, () => console.log(`listening on 127.0.0.1:${http.address().port}`));
