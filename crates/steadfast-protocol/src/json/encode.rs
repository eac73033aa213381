//! Writes commands, replies and pushes, without a tree in between.
//!
//! Zero values are left out, except those that readers of the protocol expect to be there always. Nothing here ends a
//! line: whoever puts several into one message writes a line feed between them.

mod command;
mod publication;
mod reply;
mod write;

pub use command::append_command;
pub use publication::{
    InfoParts, PublicationParts, append_join_push, append_leave_push, append_publication_push,
};
pub use reply::append_reply;
pub(crate) use write::Object;
