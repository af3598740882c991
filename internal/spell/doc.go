// Package spell puts frames into words and makes them of words, for people who
// debug: it reads and writes with gopacket what the data path reads and writes
// itself, and is no part of that.
package spell
