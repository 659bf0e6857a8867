package model

// Rule is one thing that cell and collector keep to.
type Rule string

// The rules.
const (
	// AckAfterCommit: what is acknowledged was committed.
	AckAfterCommit Rule = "acknowledge only what is committed"
	// Ledger: what was committed under a name is not committed again.
	Ledger Rule = "look every position up in the ledger"
	// KeepLedger: the ledger forgets no position.
	KeepLedger Rule = "never prune the ledger"
	// FreshEpoch: a start goes on in no epoch of before, in which a copy of the disk may go
	// on too. (What one machine used before it crashed, ForkOnSync would tell it.)
	FreshEpoch Rule = "begin a new epoch with every start"
	// KeepNames: a record keeps its name when it is moved to another file.
	KeepNames Rule = "keep names at a rotation"
	// KeepTail: a file is done with when memory too has nothing of it.
	KeepTail Rule = "drop a file only when memory holds nothing of it"
	// CommitFirst: memory changes only when the write has succeeded.
	CommitFirst Rule = "change memory only after the write"
	// Sync: what is called safe was synced to the disk.
	Sync Rule = "sync before a reading is called safe"
	// OnlySent: an acknowledgement deletes only what this process sent.
	OnlySent Rule = "obey an acknowledgement only for what was sent"
	// WaitSync: nothing is sent before the collector has told what it has.
	WaitSync Rule = "wait for the answer to the birth"
	// ForkOnSync: who was put back to an earlier state leaves its epoch.
	ForkOnSync Rule = "leave an epoch in which others have used positions"
	// KnowMoved: what was moved into another epoch may be stored under its former name.
	KnowMoved Rule = "look for the readings of a record that was moved"
	// KnowBehindMoved: where two lives of a cell go on at once, the one may move what the other
	// still sends under its former name, and that may come last.
	KnowBehindMoved Rule = "look for the readings of a record that comes behind its moved copy"
	// OneSession: records of an earlier session are refused.
	OneSession Rule = "refuse records of an earlier session"
	// CommittedWins: a loss does not take back what is committed.
	CommittedWins Rule = "committed beats lost"
	// TakePosition: an append that finds no room uses up its position.
	TakePosition Rule = "a rejected append takes a position"
	// CloseByDescent: an epoch is closed only by a chain that descends from it.
	CloseByDescent Rule = "close an epoch only by descent"
	// Requeue: what is kept after its acknowledgement is sent again when it is missed.
	Requeue Rule = "send again what a restored database lacks"
	// MissAll: of an epoch that ended before this process began it has sent only what was left.
	MissAll Rule = "miss all that a database lacks of an ended epoch, not only what was sent of it"
	// Credit: no more is under way than was granted.
	Credit Rule = "keep to the credit"
)

// Scenario says what can happen beside taking, writing, sending, losing, repeating and
// crashing.
type Scenario struct {
	Name     string
	Readings int  // that are taken in all
	Backlog  int  // of these, that the first box holds on its disk at the beginning
	Epochs   int  // that are begun in all
	Overflow bool // the buffer holds one record, and drops the oldest or refuses the newest
	Rotate   bool // a file is full, and what it holds moves on
	Stranger bool // a second box with the same name and an empty disk
	// Clone: a second box has the same name and a copy of the first one's disk. Its chain
	// descends from an epoch in which the first one goes on, so its births may tell lost
	// what that one still holds; this comes, and CommittedWins.
	Clone bool
	// PutBack: a machine resumes from a snapshot of itself. Left out, because nothing that
	// it knows would tell it, is what it does before it has heard the collector again: that
	// it crashes, so that its epoch is an earlier one, and that it sends on the connection
	// of the snapshot, which is dead. What it took under used positions is then taken for
	// what the database has of them.
	PutBack bool
	// Beside: a copy of the first box, as it runs and with its memory, goes on beside it. Left
	// out is that either takes a reading while both are in one epoch: one name then has two
	// readings, and who has sent his takes the other's for it.
	Beside bool
	// Restore: the database is put back to a backup; acknowledged readings are retained. Left
	// out is that an acknowledgement of before is still under way: behind the answer to the
	// next birth it hides what the database lacks, until the birth after that.
	Restore bool
	// Limits: what is left out of PutBack, but for the dead connection, of Beside and of
	// Restore happens.
	Limits bool
	Rule   Rule // that is left out; empty: none is
}

func (c *Scenario) keeps(r Rule) bool { return c.Rule != r }
