//! Elections as scripts, rule by rule, and as a simulation.

mod links;
mod rules;
mod script;
mod simulation;
mod world;
