//! End-to-end tests through the built program on a real nats-server, a module per subject.

mod at;
mod audit;
mod bad_input;
mod block;
mod canary;
mod console;
mod damage;
mod delegation;
mod destroy;
mod dev;
mod export;
mod faults;
mod foreign;
mod full_disk;
mod hurt;
mod import;
mod life;
mod matrix;
mod permissions;
mod projection;
mod python;
mod recover;
mod run;
mod uses;
mod values;
mod wire;
