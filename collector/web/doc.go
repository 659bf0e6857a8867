// Package web is the command center: pages, a JSON API and server-sent events over
// the live picture of the plant.
//
// It stands at the end of the flow and changes nothing in it: it reads the picture
// (plant), the history in PostgreSQL and the journal of alarms through interfaces
// that it declares, and sends what an operator acknowledges to the sentinel.
//
// It promises that a page is never wrong silently: every response and every event
// carries where its data is from, as of when and why (see [Stamp]), and whatever is
// lost (database, broker) the pages go on with what remains. A slow browser gets the
// newest values, never a queue. Unless only this machine reaches the pages, nobody is
// served whom login does not know, and nobody more than the table of routes gives them.
// Clients, answers and reports are bounded. Pages are readable without JavaScript, need
// nothing from outside, and have no inline script or style.
package web
