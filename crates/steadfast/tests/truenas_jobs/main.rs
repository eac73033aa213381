//! Jobs and collections at the emulator of the API, over real sockets.

mod collections;
mod jobs;
mod nas;
mod too_many_calls;
