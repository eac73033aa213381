//! An edge-triggered epoll that reports ready sockets by the number with which they were registered.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Maximum number of ready sockets that one wait returns.
const EVENTS_MAX: usize = 1024;

/// An epoll and its list of events. The list's memory is reused.
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    /// Creates an epoll without registered sockets.
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Registers a socket under `number`.
    pub fn add(&self, fd: &OwnedFd, number: usize, interest: Interest) -> Result<()> {
        let mut flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        if interest == Interest::ReadWrite {
            flags |= epoll::EventFlags::OUT;
        }
        Ok(epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(u64::try_from(number)?),
            flags,
        )?)
    }

    /// Removes a registered socket.
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

/// The kinds of readiness that are reported for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Readable, and the transition to writable.
    ReadWrite,
    /// Readable, without the transition to writable.
    Read,
}
