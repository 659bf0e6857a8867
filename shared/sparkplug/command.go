package sparkplug

import "fmt"

// Names of the node's metrics that a host writes to.
const (
	MetricRebirth = "Node Control/Rebirth"
	MetricAck     = "Andon/Ack"
)

// Command is what a node command asks of a node.
type Command struct {
	Rebirth bool
	Ack     *Ack
}

// AppendRebirth appends a node command that asks for new births; ts is in ms.
func AppendRebirth(dst []byte, ts uint64) []byte {
	return appendCommand(dst, ts, MetricRebirth, Boolean, BoolValue(true))
}

// AppendAck appends a node command with an acknowledgement; ts is in ms.
func AppendAck(dst []byte, ts uint64, a Ack) []byte {
	return appendCommand(dst, ts, MetricAck, String, StringValue(a.String()))
}

// appendCommand appends a command of one metric. It carries the datatype: some
// receivers do not remember that of the birth. A command has no seq.
func appendCommand(dst []byte, ts uint64, name string, t DataType, v Value) []byte {
	p := Payload{Timestamp: ts, HasTimestamp: true, Metrics: []Metric{
		{Name: name, Timestamp: ts, HasTimestamp: true, DataType: t, Value: v},
	}}
	return p.Append(dst)
}

// ParseCommand reads the payload of an NCMD. Metrics it does not know are passed
// over: they are for someone else.
func ParseCommand(p *Payload) (Command, error) {
	var c Command
	for i := range p.Metrics {
		m := &p.Metrics[i]
		switch m.Name {
		case MetricRebirth:
			rebirth, ok := m.Value.Bool()
			if !ok {
				return Command{}, fmt.Errorf("read command: %s is not a boolean", m.Name)
			}
			c.Rebirth = c.Rebirth || rebirth
		case MetricAck:
			text, ok := m.Value.Text()
			if !ok || c.Ack != nil {
				return Command{}, fmt.Errorf("read command: %s is not one string", m.Name)
			}
			ack, err := ParseAck(text)
			if err != nil {
				return Command{}, fmt.Errorf("read command: %w", err)
			}
			c.Ack = &ack
		}
	}
	return c, nil
}
