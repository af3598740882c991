// Package sched gives the threads of the data path their place among all that
// want a processor.
//
// With many frames that is among the others: batch jobs of a low niceness
// (thread.go), which move the most frames in the least time. But a batch job that is
// woken waits until whoever has the processor has had its turn, four milliseconds at
// most where the kernel's clock ticks 250 times a second, also when another processor
// is idle; and Go's collector has to stop threads of the data path that wait
// for others of the process, which wait for a processor themselves. So while there are
// few frames the crew goes first: in real time, before everything else on
// the host, and right after it the rest of the process, unless that has much to do.
// Crew.Watch decides that (rule.go) by what the kernel counts of each thread.
//
// With many frames it would cut short those who send them at each one. And a thread in
// real time is woken where it ran last, not beside its waker, which takes longer where
// that processor sleeps.
package sched
