// Package sched gives the threads of the data path their place among all that
// want a processor.
//
// Mostly that is among the others: batch jobs of a low niceness (thread.go), which
// move the most frames in the least time. But a batch job that is woken waits until
// whoever has the processor has had its turn, four milliseconds at most where the
// kernel's clock ticks 250 times a second, and Go's collector has to stop threads
// of the data path that wait for others of the process, which wait for a processor
// themselves. So while there are few frames and the threads have to wait for each,
// they go first: in real time, before everything else on the host, and right
// after them the rest of the process. Crew.Watch decides that (rule.go) by what the
// kernel counts of each thread.
//
// First is not where they always are. With many frames it would cut short those who
// send them at each one, and with a processor idle a thread in real time is not
// woken on the processor of its waker but where it ran last, which takes longer.
package sched
