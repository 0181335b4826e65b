//! What a bundle is.
