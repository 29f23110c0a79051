//! The tree against a plain map, and what a map does not show.

mod model;
mod oracle;
mod rules;
