//! `innkeep backup` and `innkeep restore`: a data directory to one file, and back.

use std::path::PathBuf;

use clap::Args;
use innkeep_server::{BackupError, Purpose};
use serde_json::json;

use crate::context::Context;
use crate::failure::{self, Code, Failure};
use crate::output::human_bytes;
use crate::serve;

/// Write the data directory to one file, while its server runs or not
///
/// The file holds every key: it can be read by its owner only, and is to be kept as safe as the data directory. One that exists is
/// replaced when the new one is whole. Sessions, logs and what runs now stay here.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write, such as innkeep-2026-11-20.tar
    file: PathBuf,
}

/// Make a new data directory from a backup
///
/// The data directory must be empty or absent. Start it afterwards with `innkeep serve`; the keys are those of the old one.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file that `innkeep backup` wrote
    file: PathBuf,
}

impl Backup {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let data_dir = serve::load(context, Purpose::Serve, None)?.data_dir;
        let bytes = innkeep_server::backup(&data_dir, &self.file).await.map_err(failed)?;
        let file = self.file.display();
        if context.out.json {
            return context.out.json(&json!({"file": self.file, "bytes": bytes, "dataDir": data_dir}));
        }
        context.out.note(format!(
            "backed up {} to {file} ({}); it holds the keys",
            data_dir.display(),
            human_bytes(bytes)
        ));
        Ok(())
    }
}

impl Restore {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        innkeep_server::restore(&self.file, &context.data_dir).await.map_err(failed)?;
        let data_dir = context.data_dir.display();
        if context.out.json {
            return context.out.json(&json!({"dataDir": context.data_dir}));
        }
        context.out.note(format!("restored {data_dir}; next: innkeep serve --data-dir {data_dir}"));
        Ok(())
    }
}

fn failed(error: BackupError) -> Failure {
    Failure { cause: failure::root_cause(&error), ..Failure::new(Code::Failed, error.to_string()) }
}
