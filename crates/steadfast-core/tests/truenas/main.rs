//! The login of TrueNAS, step by step, with the server played by the test.

mod choices;
mod scram;
mod steps;
mod tokens;
