//! The shard as the driver of what its connections receive: says how far bytes are decoded, and passes commands and
//! reports about incomplete ones to the hub.
//!
//! [`steadfast_protocol::inbound`] decides everything about received bytes.

use steadfast_clock::Clock;
use steadfast_hub::io::{ConnectionLoss, Input, PeerId};
use steadfast_machine::{Instant, Timestamp};
use steadfast_protocol::inbound::{Inbound, InboundDriver, InboundOutput, Permission};

use super::Shard;

impl Shard {
    /// Handles the bytes of one read, as far as the hub and the turn permit.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        peer: PeerId,
        inbound: &mut Inbound,
        input: &mut [u8],
    ) {
        let limits = *self.hub.limits();
        inbound.receive(input, &limits, &mut PeerDriver::new(self, now, peer));
    }

    /// Continues with what was read and not handled, as far as the hub and the turn permit.
    pub(crate) fn resume(&mut self, now: Instant, peer: PeerId, inbound: &mut Inbound) {
        let limits = *self.hub.limits();
        inbound.resume(&limits, &mut PeerDriver::new(self, now, peer));
    }
}

/// One peer of the shard, for the time of one read.
struct PeerDriver<'a> {
    shard: &'a mut Shard,
    now: Instant,
    at: Timestamp,
    peer: PeerId,
}

impl<'a> PeerDriver<'a> {
    fn new(shard: &'a mut Shard, now: Instant, peer: PeerId) -> Self {
        Self {
            shard,
            now,
            at: Clock::wall(),
            peer,
        }
    }
}

impl InboundDriver for PeerDriver<'_> {
    fn permission(&mut self) -> Permission<'_> {
        match self.shard.connections.get_mut(self.peer) {
            None => Permission::Removed,
            Some(connection) if connection.is_reading() => {
                Permission::Reading(&mut connection.endpoint)
            }
            Some(_) => Permission::Paused,
        }
    }

    fn execute(&mut self, output: InboundOutput<'_>) {
        let (shard, now, peer) = (&mut *self.shard, self.now, self.peer);
        match output {
            InboundOutput::Command(command) => {
                let at = self.at;
                shard.drive(now, Input::CommandReceived { peer, command, at });
            }
            InboundOutput::SendReplies => shard.finish_replies(),
            InboundOutput::SendPong(pong) => shard.send_control(peer, &pong),
            InboundOutput::RecordActivity => shard.handle(now, Input::BytesReceived { peer }),
            InboundOutput::Incomplete(command) => {
                shard.handle(now, Input::Incomplete { peer, command });
            }
            InboundOutput::Closed {
                code,
                reason,
                reply,
            } => {
                let reason = reason.to_owned();
                let loss = ConnectionLoss::CloseFrame { code, reason };
                shard.on_closed(now, peer, loss, reply);
            }
            InboundOutput::Failed { error, close } => shard.on_failed(now, peer, error, close),
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_engine::{EngineEvent, Rejection, Request, Response};
    use steadfast_protocol::codec::Encoding;
    use steadfast_protocol::inbound::TURN_MAX;
    use steadfast_protocol::websocket::{Frame, Opcode, WrittenAction};

    use super::*;
    use crate::shard::test_client::with_client;

    /// As many as one read returns.
    const READ_BYTES: usize = 65_536;
    /// History commands until the default limits pause a peer, and responses until they resume it.
    const PENDING_MAX: usize = 4;
    const PENDING_MIN: usize = 2;

    #[test]
    fn a_paused_peer_needs_no_more_memory_than_the_bytes_that_it_has_sent() {
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let mut message = format!("{CONNECT}\n{}", history(2..6));
            while message.len() < READ_BYTES - 3 {
                message.push_str("\n{}");
            }
            let mut read = frame(Opcode::Text, message.as_bytes());
            read.extend(frame(Opcode::Ping, b""));

            shard.receive(Instant::START, peer, &mut inbound, &mut read);

            assert_eq!(shard.take_requests().len(), PENDING_MAX);
            assert!(inbound.is_within_message());
            assert!(inbound.kept_bytes() < message.len() + 64);
        })
        .check(|[_connected]: [String; 1]| {});
    }

    #[test]
    fn what_a_paused_peer_has_sent_is_handled_in_order_as_it_resumes() {
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let first = format!("{CONNECT}\n{}\n{}", history(2..7), rpc(7));
            let mut read = [
                frame(Opcode::Text, first.as_bytes()),
                frame(Opcode::Text, history(8..10).as_bytes()),
                frame(Opcode::Ping, b"1"),
                frame(Opcode::Text, rpc(10).as_bytes()),
            ]
            .concat();

            shard.receive(Instant::START, peer, &mut inbound, &mut read);
            let mut pending = shard.take_requests();
            let mut counts = vec![pending.len()];
            while !pending.is_empty() {
                for request in pending.drain(..PENDING_MIN.min(pending.len())) {
                    respond(shard, &request);
                }
                if shard.connection(peer).unwrap().is_reading() {
                    shard.resume(Instant::START, peer, &mut inbound);
                }
                pending.extend(shard.take_requests());
                counts.push(pending.len());
            }

            assert_eq!(counts, [4, 4, 3, 1, 0]);
            assert!(!inbound.has_unhandled());
        })
        .check(|[_connected, received @ ..]: [String; 11]| {
            let expected = [
                "id\":2",
                "id\":3",
                "id\":7",
                "id\":4",
                "id\":5",
                "pong [49]",
                "id\":10",
                "id\":6",
                "id\":8",
                "id\":9",
            ];
            let mut both = received.iter().zip(expected);
            assert!(
                both.all(|(received, part)| received.contains(part)),
                "{received:#?}"
            );
        });
    }

    #[test]
    fn a_close_frame_after_what_a_closed_peer_has_sent_ends_the_connection() {
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let message = format!("{CONNECT}\n{}", history(2..9));
            let mut read = frame(Opcode::Text, message.as_bytes());
            read.extend(frame(Opcode::Text, rpc(9).as_bytes()));
            read.extend(frame(Opcode::Close, b""));
            shard.receive(Instant::START, peer, &mut inbound, &mut read);
            assert_eq!(shard.take_requests().len(), PENDING_MAX);

            shard.shut_down(Instant::START);
            assert!(shard.connection(peer).unwrap().is_reading());
            shard.finish_iteration(Instant::START);
            shard.resume(Instant::START, peer, &mut inbound);

            assert_eq!(shard.take_requests(), []);
            let endpoint = &shard.connection(peer).unwrap().endpoint;
            assert_eq!(endpoint.written_action(), WrittenAction::CloseStream);
        })
        .check(|[_connected]: [String; 1]| {});
    }

    #[test]
    fn commands_that_are_handled_at_once_are_handled_in_turns() {
        let commands = 1_000;
        with_client(|shard, peer| {
            let mut inbound = inbound();
            let rpcs = (2..2 + commands).map(rpc).collect::<Vec<_>>().join("\n");
            let mut read = frame(Opcode::Text, format!("{CONNECT}\n{rpcs}").as_bytes());

            let mut turns = 1;
            shard.receive(Instant::START, peer, &mut inbound, &mut read);
            while inbound.has_unhandled() {
                shard.resume(Instant::START, peer, &mut inbound);
                turns += 1;
            }

            let commands = usize::try_from(1 + commands).unwrap();
            assert_eq!(turns, commands.div_ceil(TURN_MAX));
        })
        .check(|[_connected, rejected @ ..]: [String; 5]| {
            // One message for the commands of each turn.
            let counts = rejected.map(|message| message.lines().count());
            assert_eq!(counts, [255, 256, 256, 233]);
        });
    }

    const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

    fn inbound() -> Inbound {
        Inbound::new(Encoding::Json)
    }

    fn history(ids: std::ops::Range<u32>) -> String {
        let commands = ids.map(|id| format!(r#"{{"id":{id},"history":{{"channel":"news"}}}}"#));
        commands.collect::<Vec<_>>().join("\n")
    }

    fn rpc(id: u32) -> String {
        format!(r#"{{"id":{id},"rpc":{{}}}}"#)
    }

    fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        Frame::unfragmented(opcode, payload).append_client(&mut frame, [1, 2, 3, 4]);
        frame
    }

    fn respond(shard: &mut Shard, request: &Request) {
        let response = EngineEvent::Response {
            number: request.id().number,
            response: Response::Rejected(Rejection::Limit),
        };
        let events = vec![response];
        shard.handle(Instant::START, Input::Engine { events });
    }
}
