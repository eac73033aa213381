//! What the compiler warns of, as examples that it must reject; compiled as documentation tests only.
//!
//! The first example is the correct program: it shows that the others are rejected for nothing else.
//!
//! ```
//! #![deny(unused_must_use)]
//! # use steadfast::centrifuge::{Builder, Client};
//! # fn run(client: Client, builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
//! let _receipt = client.publish("news", &1)?;
//! let _sending = client.message("news", &1);
//! let _subscription = client.subscribe("news");
//! let (_client, _driver) = builder.build()?;
//! # Ok(())
//! # }
//! ```
//!
//! The receipt of a publication is ignored:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use steadfast::centrifuge::{Builder, Client};
//! # fn run(client: Client, builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
//! client.publish("news", &1)?;
//! # Ok(())
//! # }
//! ```
//!
//! The receipt of a message of any dialect is ignored:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use steadfast::centrifuge::{Centrifuge, Client};
//! # fn run(receipt: steadfast::Receipt<Centrifuge>) {
//! fn receipt_of(receipt: steadfast::Receipt<Centrifuge>) -> steadfast::Receipt<Centrifuge> { receipt }
//! receipt_of(receipt);
//! # }
//! ```
//!
//! A publication is begun and not sent:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use steadfast::centrifuge::{Builder, Client};
//! # fn run(client: Client, builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
//! client.message("news", &1);
//! # Ok(())
//! # }
//! ```
//!
//! A subscription is dropped at once:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use steadfast::centrifuge::{Builder, Client};
//! # fn run(client: Client, builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
//! client.subscribe("news");
//! # Ok(())
//! # }
//! ```
//!
//! The driver is dropped at once:
//!
//! ```compile_fail
//! #![deny(unused_must_use)]
//! # use steadfast::centrifuge::{Builder, Client};
//! # fn run(client: Client, builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
//! builder.build()?;
//! # Ok(())
//! # }
//! ```
