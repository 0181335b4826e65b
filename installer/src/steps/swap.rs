//! Switches swap off, now and after a reboot: with swap on, the kubelet refuses to start (`failSwapOn`).

use anyhow::Context as _;

use super::{Check, Context, Step};
use crate::host::{Change, Command, Host, HostError, marked};
use crate::inputs::Inputs;
use crate::procfs::swap_areas;

const FSTAB: &str = "/etc/fstab";

/// Switches swap off, now and at boot.
pub struct Swap;

impl Step for Swap {
    fn id(&self) -> &'static str {
        "swap"
    }

    fn title(&self, _inputs: &Inputs<'_>) -> String {
        "switch swap off, now and at boot".to_owned()
    }

    fn concerns(&self, inputs: &Inputs<'_>) -> bool {
        inputs.topology.this().is_node()
    }

    fn check(&self, context: &Context<'_>) -> anyhow::Result<Check> {
        let areas = areas_in_use(&context.host)?;
        if !areas.is_empty() {
            return Ok(Check::Needed(format!("swap is on: {}", areas.join(", "))));
        }
        if fstab(&context.host)?.lines().any(is_swap_line) {
            return Ok(Check::Needed(format!("{FSTAB} switches swap on at boot")));
        }
        Ok(Check::Done)
    }

    fn apply(&self, context: &mut Context<'_>) -> anyhow::Result<()> {
        let host = &mut context.host;
        let text = fstab(host)?;
        if text.lines().any(is_swap_line) {
            host.edit_file(FSTAB, &marked::with_lines_commented_out(&text, is_swap_line))?;
        }
        let areas = areas_in_use(host)?;
        for area in &areas {
            host.ledger_mut().record(Change::SwapOff { area: area.clone() }).map_err(HostError::from)?;
            let off = host.run(&Command::new("swapoff", [area]));
            off.with_context(|| {
                format!("while switching swap area {area} off; the kubelet does not start beside swap")
            })?;
        }
        host.run(&Command::new("systemctl", ["daemon-reload"]))?;
        areas.iter().try_for_each(|area| mask_unit(host, area))
    }
}

fn areas_in_use(host: &Host) -> Result<Vec<String>, HostError> {
    Ok(swap_areas(&host.read_text("/proc/swaps")?.unwrap_or_default()))
}

fn fstab(host: &Host) -> Result<String, HostError> {
    Ok(host.read_text(FSTAB)?.unwrap_or_default())
}

/// Whether a line of fstab switches swap on: third field `swap`, option `noauto` not set (fstab(5)).
fn is_swap_line(line: &str) -> bool {
    let fields: Vec<_> = line.split_whitespace().collect();
    match fields[..] {
        [device, _, "swap", ref rest @ ..] => {
            let noauto = rest.first().is_some_and(|options| options.split(',').any(|option| option == "noauto"));
            !device.starts_with('#') && !noauto
        }
        _ => false,
    }
}

/// Masks the unit of a swap area that systemd knows without fstab: from a generator (zram, GPT) or from a unit file.
fn mask_unit(host: &mut Host, area: &str) -> anyhow::Result<()> {
    let escaped = host.run(&Command::new("systemd-escape", ["--path", "--suffix=swap", area]))?;
    let unit = escaped.stdout.trim();
    let path = format!("/etc/systemd/system/{unit}");
    if host.unit_state(unit)?.is_none_or(|state| state.file.is_empty() || state.file == "masked") {
        return Ok(());
    }
    host.make_link(&path, "/dev/null").with_context(|| format!("while keeping {unit} from starting at boot"))?;
    host.run(&Command::new("systemctl", ["daemon-reload"]))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fs_err as fs;

    use super::*;
    use crate::executor::execute;
    use crate::fixture::bench::Bench;

    const HEADING: &str = "Filename Type Size Used Priority\n";
    const AREAS: &str = "Filename Type Size Used Priority\n/dev/sda2 partition 8 0 -2\n/dev/zram0 partition 8 0 100\n";

    /// A host on which `swapoff` works, and whose second area comes from a generator.
    fn programs(root: &Path, command: &Command) -> Option<String> {
        let swaps = root.join("proc/swaps");
        let area = command.arguments.last()?;
        let text = fs::read_to_string(&swaps).unwrap();
        match (command.program.as_str(), area.as_str()) {
            ("swapoff", area) => {
                let rest: Vec<_> = text.split_inclusive('\n').filter(|line| !line.starts_with(area)).collect();
                fs::write(swaps, rest.concat()).unwrap();
            }
            ("swapon", area) => fs::write(swaps, format!("{text}{area} partition 8 0 -2\n")).unwrap(),
            ("systemd-escape", area) => {
                return Some(format!("{}.swap\n", area.trim_start_matches('/').replace('/', "-")));
            }
            ("systemctl", "dev-zram0.swap") => {
                return Some(
                    "Id=dev-zram0.swap\nLoadState=loaded\nActiveState=inactive\nUnitFileState=generated\n".into(),
                );
            }
            _ => {}
        }
        None
    }

    #[test]
    fn swap_goes_now_and_at_boot_and_comes_back() {
        let fstab = "/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n";
        let bench = Bench::with_programs(programs);
        bench.file("proc/swaps", AREAS);
        bench.file("etc/fstab", fstab);
        bench.file("dev/sda2", "");
        bench.file("dev/zram0", "");
        let run = || bench.work(&[&Swap], |plan, context, notes| execute(plan, context, notes).unwrap().len()).1;
        assert_eq!(run(), 1);
        assert_eq!(bench.read("proc/swaps"), HEADING);
        assert_eq!(bench.read("etc/fstab"), fstab.replace("/dev/sda2", "#kinstall# /dev/sda2"));
        let mask = bench.path("etc/systemd/system/dev-zram0.swap");
        assert_eq!(fs::read_link(&mask).unwrap(), Path::new("/dev/null"));
        assert_eq!(run(), 0);

        bench.undo();
        assert_eq!(bench.read("etc/fstab"), fstab);
        assert!(mask.symlink_metadata().is_err());
        assert_eq!(swap_areas(&bench.read("proc/swaps")), ["/dev/zram0", "/dev/sda2"]);
    }

    #[test]
    fn only_lines_that_switch_swap_on_are_commented_out() {
        let fstab = "\
# swap was on /dev/sda2
/dev/sda1 / ext4 defaults 0 1
UUID=1-2 none\tswap sw 0 0
/swapfile none swap defaults
/dev/sdb none swap sw,noauto 0 0
#/dev/sdc none swap sw 0 0
/dev/sdd /swap ext4 defaults 0 0
";
        let edited = marked::with_lines_commented_out(fstab, is_swap_line);
        insta::assert_snapshot!(edited, @"
        # swap was on /dev/sda2
        /dev/sda1 / ext4 defaults 0 1
        #kinstall# UUID=1-2 none	swap sw 0 0
        #kinstall# /swapfile none swap defaults
        /dev/sdb none swap sw,noauto 0 0
        #/dev/sdc none swap sw 0 0
        /dev/sdd /swap ext4 defaults 0 0
        ");
        assert!(!edited.lines().any(is_swap_line));
        assert_eq!(marked::clean(&edited), fstab);
    }
}
