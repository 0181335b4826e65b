//! Layers for tests.

/// A tar of these files.
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A tar of files with a mode each, some with capabilities of the kernel as GNU tar stores them.
pub fn tar_of(files: &[(&str, u32, bool)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, mode, has_capabilities) in files {
        if *has_capabilities {
            let attribute = ("SCHILY.xattr.security.capability", &[1, 0, 0, 2][..]);
            builder.append_pax_extensions([attribute]).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(*mode);
        builder.append_data(&mut header, path, &[][..]).unwrap();
    }
    builder.into_inner().unwrap()
}
