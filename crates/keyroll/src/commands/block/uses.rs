//! Which secrets the blocks of a file use, and where.

use keyroll_core::state::ValueState;
use keyroll_resolver::{Block, Context, ReferenceLocation, analyse_python, plan, references};

use super::options::RunPython;
use super::python;
use super::source::Source;
use crate::error::Failure;

/// A secret that a block names.
pub(super) struct Use {
    pub(super) block: String,
    /// Empty where the code computes the name when it runs.
    pub(super) secret: String,
    pub(super) places: String,
    pub(super) state: &'static str,
    /// The state of its current value, when that cannot be revealed.
    pub(super) value_state: Option<ValueState>,
    pub(super) dynamic: bool,
    /// Whether it is part of a URL's query, which a run has to allow.
    pub(super) in_query: bool,
}

pub(super) async fn uses(source: &Source, how: &RunPython) -> Result<Vec<Use>, Failure> {
    let file = &source.file;
    let placed = |error| source.placed(error);
    let python = if file
        .blocks
        .iter()
        .any(|block| matches!(block, Block::Python(_)))
    {
        Some(python::analysis(how).await?)
    } else {
        None
    };
    let mut uses = Vec::new();
    for block in &file.blocks {
        let found = if let (Block::Python(block), Some(options)) = (block, &python) {
            let analysis = analyse_python(block, options).await.map_err(placed)?;
            uses.extend(analysis.dynamic.iter().map(|(line, column)| Use {
                block: block.name.clone(),
                secret: String::new(),
                places: format!("code line {line} column {column}"),
                state: "only known when it runs",
                value_state: None,
                dynamic: true,
                in_query: false,
            }));
            analysis.references
        } else {
            // This also checks that method, URL and headers form a request.
            plan(file, Some(block.name())).map_err(placed)?;
            references(block).map_err(placed)?
        };
        for (secret, places) in found {
            let in_query = places.iter().any(|place| place.context == Context::Query);
            let places: Vec<String> = places.iter().map(ReferenceLocation::to_string).collect();
            uses.push(Use {
                block: block.name().to_owned(),
                secret,
                places: places.join(", "),
                state: "not checked",
                value_state: None,
                dynamic: false,
                in_query,
            });
        }
    }
    Ok(uses)
}
