package sparkplug

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Names of the metrics of a node's birth and death.
const (
	metricBdSeq   = "bdSeq"
	metricSession = "Andon/Session"
	metricVersion = "Andon/Version"
	metricBoot    = "Andon/Boot"
	metricChain   = "Andon/Chain"
)

// NodeBirth is an NBIRTH of an Andon node.
type NodeBirth struct {
	Time      uint64 // ms since 1970 UTC
	BdSeq     uint8  // that of the will of the same connection
	Session   uint64 // names the node's connection; its lower 32 bits count them, durably
	Version   string // of the agent
	Boot      [16]byte
	Chain     []ChainEpoch // oldest first; the last is the current epoch; at most [MaxChain]
	Heartbeat Heartbeat
}

// Append appends the NBIRTH, with seq 0, to dst and returns it.
func (b *NodeBirth) Append(dst []byte) []byte {
	boot := Metric{DataType: UUID, Null: true}
	if b.Boot != [16]byte{} {
		boot = Metric{DataType: UUID, Value: StringValue(formatUUID(b.Boot))}
	}
	p := Payload{Timestamp: b.Time, HasTimestamp: true, HasSeq: true, Metrics: []Metric{
		{Name: metricBdSeq, DataType: Int64, Value: LongValue(int64(b.BdSeq))},
		{Name: MetricRebirth, DataType: Boolean, Value: BoolValue(false)},
		{Name: MetricAck, DataType: String, Null: true},
		{Name: metricSession, DataType: UInt64, Value: UlongValue(b.Session)},
		{Name: metricVersion, DataType: String, Value: StringValue(b.Version)},
		{Name: metricBoot, DataType: boot.DataType, Null: boot.Null, Value: boot.Value},
		{Name: metricChain, DataType: Text, Value: StringValue(formatChain(b.Chain))},
	}}
	p.Metrics = b.Heartbeat.metrics(p.Metrics, true)
	p.stamp(b.Time)
	return p.Append(dst)
}

// stamp gives every metric the time ts.
func (p *Payload) stamp(ts uint64) {
	for i := range p.Metrics {
		p.Metrics[i].Timestamp, p.Metrics[i].HasTimestamp = ts, true
	}
}

// ParseNodeBirth reads an NBIRTH. It returns [ErrForeign] for that of a node that
// is not Andon's.
func ParseNodeBirth(p *Payload) (*NodeBirth, error) {
	session := p.Metric(metricSession)
	if session == nil {
		return nil, ErrForeign
	}
	b := &NodeBirth{Time: p.Timestamp}
	var err error
	if b.BdSeq, err = bdSeq(p); err != nil {
		return nil, fmt.Errorf("read node birth: %w", err)
	}
	ok := p.HasTimestamp && p.HasSeq && p.Seq == 0
	if !ok {
		return nil, errors.New("read node birth: no timestamp, or seq is not 0")
	}
	if b.Session, ok = session.Value.Uint64(UInt64); !ok {
		return nil, fmt.Errorf("read node birth: %s is not a number", metricSession)
	}
	if m := p.Metric(metricVersion); m != nil {
		text, _ := m.Value.Text()
		b.Version = told(text)
	}
	if m := p.Metric(metricBoot); m != nil && !m.Null {
		text, _ := m.Value.Text()
		if b.Boot, ok = parseUUID(text); !ok {
			return nil, fmt.Errorf("read node birth: %s %q is not a UUID", metricBoot, clip(text))
		}
	}
	chain := p.Metric(metricChain)
	if chain == nil {
		return nil, fmt.Errorf("read node birth: %s is not there", metricChain)
	}
	text, _ := chain.Value.Text()
	if b.Chain, err = parseChain(text); err != nil {
		return nil, fmt.Errorf("read node birth: %w", err)
	}
	b.Heartbeat, _ = ParseHeartbeat(p)
	return b, nil
}

// AppendNodeDeath appends an NDEATH, as a will or as a clean farewell; ts is in
// ms. It has a bdSeq and no seq.
func AppendNodeDeath(dst []byte, ts uint64, bdSeq uint8) []byte {
	p := Payload{Timestamp: ts, HasTimestamp: true, Metrics: []Metric{
		{Name: metricBdSeq, DataType: Int64, Value: LongValue(int64(bdSeq))},
	}}
	p.stamp(ts)
	return p.Append(dst)
}

// ParseNodeDeath returns the bdSeq of an NDEATH, of any node.
func ParseNodeDeath(p *Payload) (uint8, error) {
	n, err := bdSeq(p)
	if err != nil {
		return 0, fmt.Errorf("read node death: %w", err)
	}
	return n, nil
}

func bdSeq(p *Payload) (uint8, error) {
	m := p.Metric(metricBdSeq)
	if m == nil {
		return 0, fmt.Errorf("%s is not there", metricBdSeq)
	}
	n, ok := m.Value.Uint64(UInt64)
	if !ok || n > 255 {
		return 0, fmt.Errorf("%s is not a number from 0 to 255", metricBdSeq)
	}
	return uint8(n), nil
}

// AppendUnitDeath appends a DDEATH; ts is in ms.
func AppendUnitDeath(dst []byte, ts uint64, seq uint8) []byte {
	p := Payload{Timestamp: ts, HasTimestamp: true, Seq: uint64(seq), HasSeq: true}
	return p.Append(dst)
}

// formatUUID returns the form 8-4-4-4-12 of RFC 9562.
func formatUUID(u [16]byte) string {
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func parseUUID(s string) (u [16]byte, ok bool) {
	digits := strings.ReplaceAll(s, "-", "")
	if len(digits) != 2*len(u) { // of which there is room for
		return u, false
	}
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return [16]byte{}, false
	}
	return u, formatUUID(u) == s
}
