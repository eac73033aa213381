// A small fan-out server on Bun, in its usual form: its built-in publish and subscribe.
// Every message of a connection to /pub is sent to all connections of /sub.
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2] ?? 0),
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (server.upgrade(request, { data: { isSubscriber: pathname === "/sub" } })) return undefined;
    return new Response("expected a WebSocket upgrade", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    open(socket) {
      if (socket.data.isSubscriber) socket.subscribe("bench");
    },
    message(_socket, message) {
      server.publish("bench", message);
    },
  },
});

console.log(`listening on 127.0.0.1:${server.port}`);
