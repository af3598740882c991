// Package ledger holds counters that one goroutine of the data path adds to and
// any other may read: traffic by VTEP, and how large batches and runs are.
//
//	b := l.Open()                  // a goroutine's own
//	b.Add(vtep, frames, bytes)     // plain additions while the VTEP stays the same
//	b.Settle()                     // once a batch: now readers see it
//	l.Sums()                       // all goroutines' together, at any time
//
// # What it bounds
//
// A Book has room for Room VTEPs, taken by those that it hears of first; what
// the others send and get adds up on one page. So neither its memory nor what
// is made of it grows with the network, and nothing is allocated after Open.
package ledger
