//! Any protocol over messages of which the session understands nothing: an application sends frames and receives frames.
//!
//! Every received frame is an item of the one topic [`Everything`], so that a slow reader stops the connection from being
//! read and a new connection is visible in the order of the frames. There is no history: each new connection is a
//! [`crate::io::SubscriptionEvent::Gap`], except the first.

use std::fmt;

use super::{
    Delivery, Dialect, DialectEvent, EarlyRequests, InFlight, Message, Request, Subscribed, Topic,
    Unsendable, Wire,
};
use crate::io::{ConnectionLoss, Frame};
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;
