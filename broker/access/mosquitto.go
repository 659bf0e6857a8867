package access

import (
	"bufio"
	"fmt"
	"io"

	"andon.internal/shared/sparkplug"
	"andon.internal/shared/topics"
)

// WriteMosquitto writes the policy for some identities as an ACL file of Mosquitto 2, for
// plants that run that as their broker. Mosquitto takes the user's name from the common
// name of a certificate (use_identity_as_username true), which is [Identity.Username].
//
// Two things Mosquitto's file cannot say: which client ids an identity may have, and
// that a viewer reads at QoS 0. It also delivers what a client may read though it
// subscribed to more, where ours refuses the subscription.
func WriteMosquitto(w io.Writer, list []Identity) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "# Who may do what: the policy of andon-broker, for Mosquitto. Made by: andon-broker ca acl")
	fmt.Fprintln(b, "# mosquitto.conf needs: allow_anonymous false, require_certificate true,")
	fmt.Fprintln(b, "# use_identity_as_username true, acl_file, and max_packet_size 524288.")
	for _, i := range list {
		if err := i.Check(); err != nil {
			return fmt.Errorf("write acl: %w", err)
		}
		fmt.Fprintf(b, "\nuser %s\n", i.Username())
		for _, topic := range i.writes() {
			fmt.Fprintf(b, "topic write %s\n", topic)
		}
		for _, filter := range i.reads() {
			fmt.Fprintf(b, "topic read %s\n", filter)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write acl: %w", err)
	}
	return nil
}

// writes returns the filters of the topics that the identity may publish to.
func (i Identity) writes() []string {
	switch i.Role {
	case Node:
		var out []string
		for _, t := range []sparkplug.MessageType{
			sparkplug.NBirth, sparkplug.NData, sparkplug.NDeath, sparkplug.DBirth, sparkplug.DData, sparkplug.DDeath,
		} {
			topic := sparkplug.Topic{Type: t, Group: i.Group, Node: i.Name}
			if t.OfDevice() {
				topic.Device = "+"
			}
			out = append(out, topic.String())
		}
		return out
	case Collector:
		return []string{
			sparkplug.Namespace + "/STATE/+", sparkplug.Namespace + "/+/NCMD/+", sparkplug.Namespace + "/+/DCMD/+/+",
			topics.Alarms, topics.Acks, topics.Roles,
		}
	}
	return nil
}
