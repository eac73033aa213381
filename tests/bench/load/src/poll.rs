//! One edge-triggered epoll: tells which sockets became ready, by the number they were registered with.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Ready sockets are handed over in lots of at most so many.
const LOT: usize = 1024;

/// An epoll and its list of events, whose storage is reused.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(LOT),
        })
    }

    /// Registers a socket for reading, and for the moment when it becomes writable if `writable` says so.
    pub fn add(&self, fd: &OwnedFd, number: usize, writable: Writable) -> Result<()> {
        let mut flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        if writable == Writable::Told {
            flags |= epoll::EventFlags::OUT;
        }
        Ok(epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(u64::try_from(number)?),
            flags,
        )?)
    }

    /// Forgets a socket.
    pub fn delete(&self, fd: &OwnedFd) -> Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits at most `timeout` and writes the numbers of the ready sockets into `ready`.
    pub fn wait(&mut self, timeout: Duration, ready: &mut Vec<usize>) -> Result<()> {
        self.events.clear();
        ready.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&Timespec::try_from(timeout)?),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            ready.push(usize::try_from(event.data.u64())?);
        }
        Ok(())
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

/// Whether a socket's becoming writable is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// It is.
    Told,
    /// Only reading matters.
    Ignored,
}
