package alarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"andon.internal/shared/telemetry"
	"andon.internal/shared/topics"
)

// The topics by which the roles of the collector meet, with an [Alarm] or an
// [Acknowledgement] on each. Their payloads are JSON, sent with QoS 1 and not retained:
// open alarms are said again every few seconds.
const (
	StateFilter = topics.Alarms
	AckFilter   = topics.Acks
)

// Bounds of what comes from outside.
const (
	MaxPayload = 64 << 10
	MaxBy      = 64  // characters
	MaxNote    = 500 // characters
)

// Topic is where the state of an alarm is published.
func (a *Alarm) Topic() string { return topics.Alarm + a.Group + "/" + a.ID }

// Append appends the alarm's JSON.
func (a *Alarm) Append(dst []byte) ([]byte, error) {
	b, err := json.Marshal(a)
	return append(dst, b...), err
}

// ParseAlarm reads an alarm that came on a topic.
func ParseAlarm(topic string, payload []byte) (Alarm, error) {
	var a Alarm
	if len(payload) > MaxPayload {
		return a, fmt.Errorf("read alarm: %d bytes are more than %d", len(payload), MaxPayload)
	}
	if err := json.Unmarshal(payload, &a); err != nil {
		return Alarm{}, fmt.Errorf("read alarm: %w", err)
	}
	errs := []error{checkID(a.ID), telemetry.CheckID("rule", a.Rule), telemetry.Node{Group: a.Group, ID: a.Node}.Check()}
	if a.Unit != "" {
		errs = append(errs, telemetry.CheckID("unit", a.Unit))
	}
	if a.Condition != Active && a.Condition != Normal {
		errs = append(errs, fmt.Errorf("unknown condition %q", a.Condition))
	}
	if a.Topic() != topic {
		errs = append(errs, fmt.Errorf("alarm %s came on topic %q", a.ID, topic))
	}
	if err := errors.Join(errs...); err != nil {
		return Alarm{}, fmt.Errorf("read alarm: %w", err)
	}
	return a, nil
}

// Acknowledgement says who has seen an alarm.
type Acknowledgement struct {
	ID   string    `json:"id"`
	By   string    `json:"by"`
	Note string    `json:"note"`
	At   time.Time `json:"at"`
}

// Topic is where the acknowledgement is published.
func (k *Acknowledgement) Topic() string { return topics.Ack + k.ID }

// Append appends the acknowledgement's JSON.
func (k *Acknowledgement) Append(dst []byte) ([]byte, error) {
	b, err := json.Marshal(k)
	return append(dst, b...), err
}

// IsAck reports whether a topic is one of acknowledgements.
func IsAck(topic string) bool { return strings.HasPrefix(topic, topics.Ack) }

// ParseAck reads an acknowledgement that came on a topic.
func ParseAck(topic string, payload []byte) (Acknowledgement, error) {
	var k Acknowledgement
	if len(payload) > MaxPayload {
		return k, fmt.Errorf("read acknowledgement: %d bytes are more than %d", len(payload), MaxPayload)
	}
	if err := json.Unmarshal(payload, &k); err != nil {
		return Acknowledgement{}, fmt.Errorf("read acknowledgement: %w", err)
	}
	k.By, k.Note = strings.TrimSpace(k.By), strings.TrimSpace(k.Note)
	err := checkID(k.ID)
	switch {
	case err != nil:
	case k.Topic() != topic:
		err = fmt.Errorf("alarm %s came on topic %q", k.ID, topic)
	case k.By == "" || utf8.RuneCountInString(k.By) > MaxBy:
		err = fmt.Errorf("by must be 1 to %d characters", MaxBy)
	case utf8.RuneCountInString(k.Note) > MaxNote:
		err = fmt.Errorf("note must be at most %d characters", MaxNote)
	}
	if err != nil {
		return Acknowledgement{}, fmt.Errorf("read acknowledgement: %w", err)
	}
	return k, nil
}

// checkID reports an id that [ID] cannot have made.
func checkID(id string) error {
	if len(id) != 24 || strings.Trim(id, "0123456789abcdef") != "" {
		return errors.New("the id of an alarm is 24 hexadecimal digits")
	}
	return nil
}
