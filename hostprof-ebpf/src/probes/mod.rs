//! The programs, each named after its hook: an attribute function and a body.

mod adopt;
mod function_call;
mod http;
mod sched_process_exec;
mod sched_process_fork;
mod sched_switch;
mod sched_wakeup;
mod sched_waking;
mod sock_length;
mod sys_call;
mod sys_call_function;
mod sys_call_named;
mod task_rename;
