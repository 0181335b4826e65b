//! Exit codes and hints on a command line for the errors of this crate.

use kbundle_cli::failure::{Explain, Kind};

use crate::destination::DestinationError;
use crate::interrupt::{Interrupted, Signal};

impl Explain for DestinationError {
    fn kind(&self) -> Kind {
        match self {
            Self::Twice { .. } | Self::NoFolder { .. } | Self::Terminal | Self::NotForStdout { .. } => Kind::Usage,
            Self::Volumes { source, .. } => source.kind(),
            Self::NotWritable { .. } | Self::Write { .. } => Kind::Failed,
            _ => Kind::Refused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Volumes { source, .. } => source.hint(),
            _ => self.hint().map(str::to_owned),
        }
    }
}

impl Explain for Interrupted {
    fn kind(&self) -> Kind {
        match self.signal {
            Signal::Interrupt => Kind::Interrupted,
            Signal::Terminate => Kind::Terminated,
        }
    }

    fn hint(&self) -> Option<String> {
        Some("run the same command again".to_owned())
    }
}
