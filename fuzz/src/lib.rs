//! What several fuzz targets need: choices and files made of a fuzzer's bytes, a bound on the heap, and the
//! plainest state and tree to compare with.

mod choices;
mod directory;
mod heap;
mod history;
mod model;
mod state;

pub use choices::Choices;
pub use directory::{DIR, Directory, sealed_snapshot};
pub use heap::bounded;
pub use history::{History, record};
pub use model::Model;
pub use state::{Image, Source, State};
