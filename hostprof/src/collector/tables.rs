//! Where rows of a fold go: those that a thread's records become into parts of its own, all others into those of the
//! first fold.

use std::sync::mpsc::SyncSender;

use super::{fds::Fds, pipeline::Message, role::Roles, sampling::SampleTables, tap::Tap};
use crate::{
    probe::{Life, Rows},
    sink::{ParquetSink, ParquetWriter, Sink as _, SinkError, Writer as _},
    table::{
        CudaCallRow, GpuEventRow, GpuIoctlRow, GpuPmRow, HistogramRow, LossRow, OffCpuCountRow, OffCpuRow,
        PageFaultRow, RequestRow, ShedRow, StepRow, SyscallRow, ThreadRow, TokenRow,
    },
    target::Proc,
};

/// What a fold writes.
pub struct Tables {
    off_cpu: ParquetWriter<OffCpuRow>,
    off_cpu_count: ParquetWriter<OffCpuCountRow>,
    syscall: ParquetWriter<SyscallRow>,
    gpu_ioctl: ParquetWriter<GpuIoctlRow>,
    cuda_call: ParquetWriter<CudaCallRow>,
    step: ParquetWriter<StepRow>,
    page_fault: ParquetWriter<PageFaultRow>,
    /// Whether faults were asked for; the table is there in any case.
    page_faults: bool,
    fds: Fds,
    /// What it does with the rest.
    pub rest: Rest,
    error: Option<SinkError>,
}

/// What the first fold has, and those beside it hand on to it.
pub enum Rest {
    /// The first's own.
    First(Box<First>),
    /// To the first.
    Beside(SyncSender<Message>),
}

/// What only the first fold has.
pub struct First {
    thread: ParquetWriter<ThreadRow>,
    request: ParquetWriter<RequestRow>,
    token: ParquetWriter<TokenRow>,
    pub gpu_event: ParquetWriter<GpuEventRow>,
    pub gpu_pm: ParquetWriter<GpuPmRow>,
    pub histogram: ParquetWriter<HistogramRow>,
    pub shed: ParquetWriter<ShedRow>,
    pub loss: ParquetWriter<LossRow>,
    pub samples: SampleTables,
    pub roles: Roles,
    /// What a view is shown; `None` where nobody looks.
    pub tap: Option<Tap>,
}

impl First {
    /// Of a target that was taken for this engine.
    pub fn new(sink: &ParquetSink, engine: Option<&str>, proc: Proc) -> Result<Self, SinkError> {
        Ok(Self {
            thread: sink.writer()?,
            request: sink.writer()?,
            token: sink.writer()?,
            gpu_event: sink.writer()?,
            gpu_pm: sink.writer()?,
            histogram: sink.writer()?,
            shed: sink.writer()?,
            loss: sink.writer()?,
            samples: SampleTables::new(sink)?,
            roles: Roles::new(engine, proc),
            tap: None,
        })
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        self.thread.tick()?;
        self.request.tick()?;
        self.token.tick()?;
        self.gpu_event.tick()?;
        self.gpu_pm.tick()?;
        self.histogram.tick()?;
        self.shed.tick()?;
        self.loss.tick()?;
        self.samples.tick()
    }

    fn finish(self) -> Result<(), SinkError> {
        self.thread.finish()?;
        self.request.finish()?;
        self.token.finish()?;
        self.gpu_event.finish()?;
        self.gpu_pm.finish()?;
        self.histogram.finish()?;
        self.shed.finish()?;
        self.loss.finish()?;
        self.samples.finish()
    }
}

impl Tables {
    /// Begins them.
    pub fn new(sink: &ParquetSink, page_faults: bool, proc: Proc, rest: Rest) -> Result<Self, SinkError> {
        Ok(Self {
            off_cpu: sink.writer()?,
            off_cpu_count: sink.writer()?,
            syscall: sink.writer()?,
            gpu_ioctl: sink.writer()?,
            cuda_call: sink.writer()?,
            step: sink.writer()?,
            page_fault: sink.writer()?,
            page_faults,
            fds: Fds::new(proc),
            rest,
            error: None,
        })
    }

    /// The first fold's; `None` beside it.
    pub fn first(&mut self) -> Option<&mut First> {
        match &mut self.rest {
            Rest::First(first) => Some(first),
            Rest::Beside(_) => None,
        }
    }

    /// What a view is shown.
    #[inline]
    pub fn tap(&mut self) -> Option<&mut Tap> {
        self.first()?.tap.as_mut()
    }

    /// To be called a few times a second.
    ///
    /// # Errors
    ///
    /// The first that befell a table.
    pub fn tick(&mut self) -> Result<(), SinkError> {
        self.off_cpu.tick()?;
        self.off_cpu_count.tick()?;
        self.syscall.tick()?;
        self.gpu_ioctl.tick()?;
        self.cuda_call.tick()?;
        self.step.tick()?;
        self.page_fault.tick()?;
        self.first().map_or(Ok(()), First::tick)?;
        self.error.take().map_or(Ok(()), Err)
    }

    /// Waits until all rows are stored.
    ///
    /// # Errors
    ///
    /// The first that befell a table.
    pub fn finish(self) -> Result<(), SinkError> {
        self.off_cpu.finish()?;
        self.off_cpu_count.finish()?;
        self.syscall.finish()?;
        self.gpu_ioctl.finish()?;
        self.cuda_call.finish()?;
        self.step.finish()?;
        self.page_fault.finish()?;
        if let Rest::First(first) = self.rest {
            first.finish()?;
        }
        self.error.map_or(Ok(()), Err)
    }

    /// A thread has ended, whichever fold had it.
    pub fn ended(&mut self, life: &Life) {
        let result = match &mut self.rest {
            Rest::First(first) => {
                let row = first.roles.assign(life);
                if let Some(tap) = &mut first.tap {
                    tap.ended(&row);
                }
                first.thread.push(row)
            }
            Rest::Beside(first) => {
                // A first fold that is gone has told why.
                let _ = first.send(Message::Life(Box::new(life.clone())));
                Ok(())
            }
        };
        self.keep(result);
    }

    #[inline]
    fn keep(&mut self, result: Result<(), SinkError>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

impl Rows for Tables {
    fn alive(&mut self, life: &Life) {
        if let Rest::First(first) = &mut self.rest
            && let Some(tap) = &mut first.tap
        {
            tap.alive(life, &mut first.roles);
        }
    }

    fn lossy(&mut self, life: &Life) {
        if let Some(tap) = self.tap() {
            tap.rolling.lossy(life.row.tid);
        }
    }

    #[inline]
    fn off_cpu(&mut self, mut row: OffCpuRow) {
        if let Some(tap) = self.tap() {
            tap.rolling.off_cpu(&row);
        }
        row.fd_kind = self.fds.kind(&row);
        let result = self.off_cpu.push(row);
        self.keep(result);
    }

    fn off_cpu_count(&mut self, row: OffCpuCountRow) {
        if let Some(tap) = self.tap() {
            tap.rolling.off_cpu_count(&row);
        }
        let result = self.off_cpu_count.push(row);
        self.keep(result);
    }

    fn syscall(&mut self, row: SyscallRow) {
        if let Some(tap) = self.tap() {
            tap.rolling.syscall(&row);
        }
        let result = self.syscall.push(row);
        self.keep(result);
    }

    fn gpu_ioctl(&mut self, row: GpuIoctlRow) {
        if let Some(tap) = self.tap() {
            tap.rolling.gpu_ioctl(&row);
        }
        let result = self.gpu_ioctl.push(row);
        self.keep(result);
    }

    fn cuda_call(&mut self, row: CudaCallRow) {
        if let Some(tap) = self.tap() {
            tap.rolling.cuda_call(&row);
        }
        let result = self.cuda_call.push(row);
        self.keep(result);
    }

    fn step(&mut self, row: StepRow) {
        let result = self.step.push(row);
        self.keep(result);
    }

    fn page_fault(&mut self, row: PageFaultRow) {
        if self.page_faults {
            if let Some(tap) = self.tap() {
                tap.rolling.page_fault(&row);
            }
            let result = self.page_fault.push(row);
            self.keep(result);
        }
    }

    fn request(&mut self, row: RequestRow) {
        // Connections are the first fold's.
        let Some(first) = self.first() else { return };
        if let Some(tap) = &mut first.tap {
            tap.rolling.request(&row);
        }
        let result = first.request.push(row);
        self.keep(result);
    }

    fn token(&mut self, row: TokenRow) {
        let Some(first) = self.first() else { return };
        if let Some(tap) = &mut first.tap {
            tap.rolling.token(&row);
        }
        let result = first.token.push(row);
        self.keep(result);
    }

    fn thread(&mut self, life: &Life) {
        self.ended(life);
    }
}
