//! The NVIDIA driver's calls: how many have names, which have none, and which the driver refused.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::HashMap,
    fmt::{self, Write},
};

use serde::Serialize;

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    text::heading,
};
use crate::{
    humane::{count, duration, plural, printable, share},
    ledger::Window,
    probe::nvidia::{CHECKED, DriverVersion, has_other_layout},
    table::{GpuEventRow, GpuIoctlRow},
};

/// At most so many commands and failures are told apart.
const KINDS: usize = 4096;
/// How the names of NVIDIA's devices begin.
const DEVICES: &str = "nvidia";
/// A driver that was not called for so long is told.
const QUIET_NS: u64 = 1_000_000_000;
/// Set in commands of an interface that no public header has.
const LEGACY: u32 = 0x8000;

/// The NVIDIA driver's calls of a recording.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NvidiaCalls {
    /// The driver's version; null where it is not known.
    pub driver: Option<String>,
    /// The first and last release whose layouts were checked.
    pub checked: (&'static str, &'static str),
    /// Whether the driver lies between them; null where its version is not known.
    pub is_checked: Option<bool>,
    /// Calls.
    pub calls: u64,
    /// Of those, calls whose request has a name, and whose command has one where it is a control.
    pub named_calls: u64,
    /// Distinct requests and commands.
    pub commands: u64,
    /// Of those, named ones.
    pub named_commands: u64,
    /// Those without a name, most calls first.
    pub unknown: Vec<UnknownCommand>,
    /// What the driver refused, most calls first.
    pub failures: Vec<NvidiaFailure>,
    /// Calls by name whose structure has a size that no checked release has.
    pub other_layouts: Vec<OtherLayout>,
    /// Errors in the kernel's log, in order.
    pub events: Vec<GpuEventRow>,
    /// From the last call to the recording's end, or all of it where there was none; null where calls were not recorded, or
    /// the recording was cut short.
    pub quiet_ns: Option<u64>,
}

/// What of the driver a recording tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched<'a> {
    /// Its version.
    pub driver: Option<&'a str>,
    /// From when to when its calls were recorded.
    pub calls: Option<Window>,
}

/// A request or command without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownCommand {
    pub device: String,
    /// The request's name where it is a control; null where the request itself has none.
    pub request: Option<String>,
    /// The number, hexadecimal.
    pub number: String,
    /// Whether it is of the interface that no public header has (bit 15 of a command).
    pub legacy: bool,
    pub calls: u64,
}

/// Calls of one name that the driver answered with one error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NvidiaFailure {
    pub name: String,
    pub nv_status: u32,
    pub nv_status_name: Option<String>,
    pub calls: u64,
}

/// Calls of one name with a structure of another size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherLayout {
    pub name: String,
    pub size_bytes: u32,
    pub calls: u64,
}

/// What a request is told apart by: the kind of device, the request's name, and the number of what may lack one: the
/// command of a control, a request without a name.
type Command = (String, Option<Cow<'static, str>>, Option<u32>);

/// A call's name, and a number.
type Named = (Cow<'static, str>, u32);

/// Calls under way.
#[derive(Default)]
pub struct Nvidia {
    calls: u64,
    named_calls: u64,
    /// Calls, and whether they have a name.
    commands: HashMap<Command, (u64, bool)>,
    /// By name and status: calls, and the status's name.
    failures: HashMap<Named, (u64, Option<Cow<'static, str>>)>,
    /// By name and size: calls.
    layouts: HashMap<Named, u64>,
    events: Vec<GpuEventRow>,
    last_call_ns: u64,
}

impl Nvidia {
    /// Adds a row; others than the driver's are left out.
    pub fn gpu_ioctl(&mut self, row: &GpuIoctlRow) {
        if row.name.is_none() && !row.device.starts_with(DEVICES) {
            return;
        }
        let named = row.name.is_some() && (row.rm_cmd.is_none() || row.rm_cmd_name.is_some());
        self.calls += 1;
        self.last_call_ns = self.last_call_ns.max(row.ts_mono_ns.saturating_add(row.dur_ns));
        self.named_calls += u64::from(named);
        let kind = row.device.trim_end_matches(|letter: char| letter.is_ascii_digit()).to_owned();
        let number = if row.name.is_none() { Some(row.request) } else { row.rm_cmd };
        let key = (kind, row.name.clone(), number);
        if self.commands.len() < KINDS || self.commands.contains_key(&key) {
            self.commands.entry(key).or_insert((0, named)).0 += 1;
        }
        if let Some(status) = row.nv_status.filter(|status| *status != 0) {
            let key = (row.call_name(), status);
            if self.failures.len() < KINDS || self.failures.contains_key(&key) {
                self.failures.entry(key).or_insert_with(|| (0, row.nv_status_name.clone())).0 += 1;
            }
        }
        if let (Some(name), Some(size)) = (&row.name, row.size_bytes)
            && row.nv_status.is_none()
            && has_other_layout(name, Some(size))
        {
            *self.layouts.entry((name.clone(), size)).or_default() += 1;
        }
    }

    /// Adds an error of the driver.
    pub fn event(&mut self, row: GpuEventRow) {
        if self.events.len() < KINDS {
            self.events.push(row);
        }
    }

    /// What came of it; `None` where there was neither a call nor an error, and no GPU whose calls were recorded.
    pub fn finish(self, watched: Watched<'_>) -> Option<NvidiaCalls> {
        let Watched { driver, calls: window } = watched;
        if self.calls == 0 && self.events.is_empty() && (driver.is_none() || window.is_none()) {
            return None;
        }
        let quiet_ns =
            window.map(|window| window.end_ns.saturating_sub(window.start_ns.max(self.last_call_ns)));
        let named_commands = self.commands.values().filter(|(_, named)| *named).count() as u64;
        let commands = self.commands.len() as u64;
        let mut unknown: Vec<UnknownCommand> = self
            .commands
            .into_iter()
            .filter(|(_, (_, named))| !named)
            .map(|((device, request, number), (calls, _))| UnknownCommand {
                device,
                number: match (&request, number.unwrap_or(0)) {
                    (Some(_), command) => format!("{command:#010x}"),
                    (None, request) => format!("{request:#x}"),
                },
                legacy: request.is_some() && number.is_some_and(|command| command & LEGACY != 0),
                request: request.map(Cow::into_owned),
                calls,
            })
            .collect();
        unknown.sort_by(|a, b| (Reverse(a.calls), &a.number).cmp(&(Reverse(b.calls), &b.number)));
        let mut failures: Vec<NvidiaFailure> = self
            .failures
            .into_iter()
            .map(|((name, nv_status), (calls, status))| NvidiaFailure {
                name: name.into_owned(),
                nv_status,
                nv_status_name: status.map(Cow::into_owned),
                calls,
            })
            .collect();
        failures.sort_by(|a, b| (Reverse(a.calls), &a.name).cmp(&(Reverse(b.calls), &b.name)));
        let mut other_layouts: Vec<OtherLayout> = self
            .layouts
            .into_iter()
            .map(|((name, size_bytes), calls)| OtherLayout { name: name.into_owned(), size_bytes, calls })
            .collect();
        other_layouts.sort_by(|a, b| (&a.name, a.size_bytes).cmp(&(&b.name, b.size_bytes)));
        Some(NvidiaCalls {
            driver: driver.map(str::to_owned),
            checked: CHECKED,
            is_checked: driver.and_then(DriverVersion::parse).map(|version| version.is_checked()),
            calls: self.calls,
            named_calls: self.named_calls,
            commands,
            named_commands,
            unknown,
            failures,
            other_layouts,
            events: self.events,
            quiet_ns,
        })
    }
}

/// Sets it as text.
pub fn write(out: &mut String, nvidia: Option<&NvidiaCalls>, shown: usize) -> fmt::Result {
    let Some(nvidia) = nvidia else { return Ok(()) };
    let driver =
        nvidia.driver.as_deref().map_or_else(String::new, |driver| format!("driver {}", printable(driver)));
    heading(out, "NVIDIA DRIVER", &driver)?;
    if nvidia.calls > 0 {
        writeln!(
            out,
            "{}, {} of them with a name · {} distinct, {} named",
            plural(nvidia.calls, "call"),
            share(nvidia.named_calls, nvidia.calls),
            count(nvidia.commands),
            count(nvidia.named_commands),
        )?;
    }
    if let Some(quiet_ns) = nvidia.quiet_ns.filter(|ns| *ns >= QUIET_NS) {
        let none = if nvidia.calls == 0 { "no call at all" } else { "no call" };
        writeln!(
            out,
            "{none} in the last {}: work is given to the GPU and waited for through memory that both map, so nothing of it is \
             seen here; probes gpu_pm and cuda, and the threads' waits, tell of it",
            duration(quiet_ns),
        )?;
    }
    if nvidia.is_checked == Some(false) {
        let (first, last) = nvidia.checked;
        writeln!(
            out,
            "layouts were checked for drivers {first} to {last}: of this one only those that sizes tell are read"
        )?;
    }
    for layout in &nvidia.other_layouts {
        writeln!(
            out,
            "{} of {} not decoded: a structure of {} bytes is of another driver",
            plural(layout.calls, "call"),
            printable(&layout.name),
            layout.size_bytes,
        )?;
    }
    if !nvidia.unknown.is_empty() {
        writeln!(out, "without a name (GSS: of an interface that no public header has):")?;
        let mut columns = Columns::new(&[("NUMBER", Left), ("OF", Left), ("DEVICE", Left), ("CALLS", Right)]);
        for unknown in nvidia.unknown.iter().take(shown) {
            let request = unknown.request.as_deref().unwrap_or("request");
            columns.row(vec![
                unknown.number.clone(),
                if unknown.legacy { format!("{request}, GSS") } else { request.to_owned() },
                printable(&unknown.device),
                count(unknown.calls),
            ]);
        }
        write!(out, "{columns}")?;
        super::text::more(out, nvidia.unknown.len().saturating_sub(shown))?;
    }
    if !nvidia.failures.is_empty() {
        writeln!(
            out,
            "what the driver answered other than NV_OK, while most of the calls themselves return 0:"
        )?;
        let mut columns = Columns::new(&[("STATUS", Left), ("CALL", Left), ("CALLS", Right)]);
        for failure in nvidia.failures.iter().take(shown) {
            let status =
                failure.nv_status_name.clone().unwrap_or_else(|| format!("{:#x}", failure.nv_status));
            columns.row(vec![status, printable(&failure.name), count(failure.calls)]);
        }
        write!(out, "{columns}")?;
        super::text::more(out, nvidia.failures.len().saturating_sub(shown))?;
    }
    if !nvidia.events.is_empty() {
        writeln!(out, "errors in the kernel's log, of any process of the machine:")?;
        let mut columns = Columns::new(&[("XID", Right), ("GPU", Left), ("PID", Right), ("MESSAGE", Left)]);
        for event in nvidia.events.iter().take(shown) {
            let pid = event.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            columns.row(vec![event.xid.to_string(), printable(&event.gpu), pid, printable(&event.message)]);
        }
        write!(out, "{columns}")?;
        super::text::more(out, nvidia.events.len().saturating_sub(shown))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(command: u32, name: Option<&'static str>, status: u32) -> GpuIoctlRow {
        GpuIoctlRow {
            device: "nvidiactl".into(),
            request: 0xc020_462a,
            name: Some("NV_ESC_RM_CONTROL".into()),
            rm_cmd: Some(command),
            rm_cmd_name: name.map(Cow::Borrowed),
            size_bytes: Some(32),
            nv_status: Some(status),
            nv_status_name: (status == 0x51).then_some("NV_ERR_NO_MEMORY".into()),
            ..GpuIoctlRow::default()
        }
    }

    #[test]
    fn names_are_counted_by_calls_and_by_commands_and_those_without_are_listed() {
        let mut nvidia = Nvidia::default();
        for _ in 0..3 {
            nvidia.gpu_ioctl(&control(0x101, Some("NV0000_CTRL_CMD_SYSTEM_GET_BUILD_VERSION"), 0));
        }
        nvidia.gpu_ioctl(&control(0x2080_a026, None, 0x51));
        nvidia.gpu_ioctl(&control(0x2080_a026, None, 0));
        let plain = |device: &str, request, name: Option<&'static str>| GpuIoctlRow {
            device: device.into(),
            request,
            name: name.map(Cow::Borrowed),
            ..GpuIoctlRow::default()
        };
        nvidia.gpu_ioctl(&plain("nvidia0", 0xc010_4629, Some("NV_ESC_RM_FREE")));
        nvidia.gpu_ioctl(&plain("nvidia1", 0xc010_4629, Some("NV_ESC_RM_FREE")));
        nvidia.gpu_ioctl(&plain("nvidia-uvm", 999, None));
        nvidia.gpu_ioctl(&plain("pts/3", 0x5401, None));
        let told = nvidia.finish(Watched { driver: Some("580.159.04"), calls: None }).unwrap();
        assert_eq!((told.calls, told.named_calls, told.commands, told.named_commands), (8, 5, 4, 2));
        assert_eq!(told.unknown[0].number, "0x2080a026");
        assert!(told.unknown[0].legacy && told.unknown[0].calls == 2);
        assert_eq!(
            (told.unknown[1].number.as_str(), told.unknown[1].device.as_str()),
            ("0x3e7", "nvidia-uvm")
        );
        assert_eq!(told.failures.len(), 1);
        assert_eq!(told.failures[0].nv_status_name.as_deref(), Some("NV_ERR_NO_MEMORY"));
        assert_eq!(told.is_checked, Some(true));
    }

    #[test]
    fn another_driver_is_named_where_layouts_differ() {
        let mut nvidia = Nvidia::default();
        nvidia.gpu_ioctl(&GpuIoctlRow {
            size_bytes: Some(40),
            rm_cmd: None,
            nv_status: None,
            ..control(0, None, 0)
        });
        let told = nvidia.finish(Watched { driver: Some("700.10"), calls: None });
        let mut text = String::new();
        write(&mut text, told.as_ref(), 10).unwrap();
        assert!(text.contains("driver 700.10") && text.contains("515.43.04 to 595.45.04"), "{text}");
        assert!(text.contains("1 call of NV_ESC_RM_CONTROL not decoded: a structure of 40 bytes"), "{text}");
    }

    #[test]
    fn a_recording_without_the_driver_has_no_section() {
        assert!(Nvidia::default().finish(Watched::default()).is_none());
        let known = Watched { driver: Some("580.159.04"), calls: None };
        assert!(Nvidia::default().finish(known).is_none(), "calls were not recorded");
    }

    #[test]
    fn a_driver_that_is_not_called_any_more_is_told() {
        let calls = Some(Window { start_ns: 1_000_000_000, end_ns: 9_000_000_000 });
        let watched = Watched { driver: Some("580.159.04"), calls };
        let text = |nvidia: Nvidia| {
            let mut out = String::new();
            write(&mut out, nvidia.finish(watched).as_ref(), 5).unwrap();
            out
        };
        let never = text(Nvidia::default());
        assert!(never.contains("no call at all in the last 8.00 s"), "{never}");
        let mut early = Nvidia::default();
        early.gpu_ioctl(&GpuIoctlRow { ts_mono_ns: 1_500_000_000, ..control(0, None, 0) });
        let early = text(early);
        assert!(early.contains("no call in the last 7.50 s"), "{early}");
        let mut late = Nvidia::default();
        late.gpu_ioctl(&GpuIoctlRow { ts_mono_ns: 8_900_000_000, ..control(0, None, 0) });
        let late = text(late);
        assert!(!late.contains("no call"), "{late}");
    }
}
