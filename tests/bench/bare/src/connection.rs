//! One connection: the upgrade, then its frames, turn by turn.

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use steadfast_protocol::websocket::{
    Decoder, Frame, MessageKind, Opcode, Role, WebSocketEvent, WebSocketLimits, encoder, handshake,
};
use tokio::net::TcpStream;

use crate::hub::{Hub, Peer};

/// The longest head of an upgrade.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The gateway's limits.
const LIMITS: WebSocketLimits = WebSocketLimits {
    message_bytes_max: 65_536,
    frame_bytes_max: 65_536,
    fragments_max: 1024,
};

/// What a connection is for, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Publisher,
    Subscriber,
    Echo,
}

/// Serves a connection to its end. A client's fault ends its connection without a word: the bench's own client has none.
pub(crate) async fn serve(stream: TcpStream, hub: Rc<Hub>) {
    let Ok((part, rest)) = upgrade(&stream).await else {
        return;
    };
    let peer = Rc::new(Peer::new(stream));
    let number = (part == Part::Subscriber).then(|| hub.subscribe(Rc::clone(&peer)));
    // The end of the frames is the end of the connection, whatever its cause.
    let _ = frames(part, &peer, &hub, rest).await;
    if let Some(number) = number {
        hub.unsubscribe(number);
    }
}

/// Reads the request and answers it. Gives what came behind the request.
async fn upgrade(stream: &TcpStream) -> Result<(Part, Vec<u8>)> {
    let mut head = Vec::new();
    let end = loop {
        stream.readable().await?;
        let mut chunk = [0; 1024];
        match stream.try_read(&mut chunk) {
            Ok(0) => bail!("closed before the upgrade"),
            Ok(count) => head.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if head.len() > HEAD_BYTES_MAX {
            bail!("the head is too long");
        }
    };
    let rest = head.split_off(end);
    let (part, response) = answer(&head)?;
    // A fresh socket takes two hundred bytes at once.
    if stream.try_write(&response)? < response.len() {
        bail!("a fresh socket did not take the answer");
    }
    Ok((part, rest))
}

fn answer(head: &[u8]) -> Result<(Part, Vec<u8>)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.lines();
    let request = lines.next().context("no request")?;
    let mut words = request.split(' ');
    let method = words.next().context("no method")?;
    let part = match words.next() {
        Some("/pub") => Part::Publisher,
        Some("/sub") => Part::Subscriber,
        Some("/echo") => Part::Echo,
        _ => bail!("no such path"),
    };
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim().as_bytes()));
    let accept = handshake::accept(method, 1, fields)
        .map_err(|refusal| anyhow::anyhow!("{}", refusal.text()))?;
    Ok((part, handshake::response(&accept.accept_key, None)))
}

/// Takes frames until the connection ends.
async fn frames(part: Part, peer: &Peer, hub: &Hub, mut rest: Vec<u8>) -> Result<()> {
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    if !rest.is_empty() {
        take(part, peer, hub, &mut decoder, &mut rest)?;
        hub.flush();
    }
    drop(rest);
    loop {
        tokio::select! {
            readable = peer.stream.readable() => {
                readable?;
                read_turn(part, peer, hub, &mut decoder)?;
            }
            () = peer.blocked.notified() => {
                while !peer.is_lost.get() && !peer.send_rest() {
                    peer.stream.writable().await?;
                }
            }
        }
        if peer.is_lost.get() {
            bail!("too far behind");
        }
    }
}

/// One turn: everything that is there to read, then one write to each socket that is owed something.
fn read_turn(part: Part, peer: &Peer, hub: &Hub, decoder: &mut Decoder) -> Result<()> {
    let mut scratch = hub.scratch.borrow_mut();
    loop {
        match peer.stream.try_read(&mut scratch) {
            Ok(0) => bail!("closed"),
            Ok(count) => {
                take(
                    part,
                    peer,
                    hub,
                    decoder,
                    scratch.get_mut(..count).unwrap_or_default(),
                )?;
                if count < scratch.len() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    hub.flush();
    Ok(())
}

/// Decodes one read and does what the connection's part is with each message.
fn take(part: Part, peer: &Peer, hub: &Hub, decoder: &mut Decoder, input: &mut [u8]) -> Result<()> {
    let mut answers = Vec::new();
    let mut reading = decoder.read(input);
    let mut is_closing = false;
    while let Some(event) = reading.next_event()? {
        match event {
            WebSocketEvent::Message { kind, payload } => {
                let opcode = match kind {
                    MessageKind::Text => Opcode::Text,
                    MessageKind::Binary => Opcode::Binary,
                };
                match part {
                    Part::Publisher => hub.publish(opcode, payload),
                    Part::Echo => Frame::unfragmented(opcode, payload).append_server(&mut answers),
                    Part::Subscriber => {}
                }
            }
            WebSocketEvent::Ping(payload) => {
                Frame::unfragmented(Opcode::Pong, payload).append_server(&mut answers)
            }
            WebSocketEvent::Pong(_) => {}
            WebSocketEvent::Close { code, .. } => {
                answers.extend_from_slice(&encoder::encode_server_close_reply(code));
                is_closing = true;
            }
        }
    }
    if !answers.is_empty() {
        peer.send(&answers);
    }
    if is_closing {
        bail!("closed by the client");
    }
    Ok(())
}
