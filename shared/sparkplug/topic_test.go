package sparkplug_test

import (
	"strings"
	"testing"

	"andon.internal/shared/sparkplug"
)

func TestTopics(t *testing.T) {
	long := strings.Repeat("x", sparkplug.MaxID)
	tests := []struct {
		text string
		want sparkplug.Topic
	}{
		{"spBv1.0/line1/NBIRTH/cell-07", sparkplug.Topic{Type: sparkplug.NBirth, Group: "line1", Node: "cell-07"}},
		{"spBv1.0/line1/NDEATH/cell-07", sparkplug.Topic{Type: sparkplug.NDeath, Group: "line1", Node: "cell-07"}},
		{"spBv1.0/line1/NDATA/cell-07", sparkplug.Topic{Type: sparkplug.NData, Group: "line1", Node: "cell-07"}},
		{"spBv1.0/line1/NCMD/cell-07", sparkplug.Topic{Type: sparkplug.NCmd, Group: "line1", Node: "cell-07"}},
		{"spBv1.0/line1/DBIRTH/cell-07/u1", sparkplug.Topic{Type: sparkplug.DBirth, Group: "line1", Node: "cell-07", Device: "u1"}},
		{"spBv1.0/line1/DDEATH/cell-07/u1", sparkplug.Topic{Type: sparkplug.DDeath, Group: "line1", Node: "cell-07", Device: "u1"}},
		{"spBv1.0/line1/DDATA/cell-07/u1", sparkplug.Topic{Type: sparkplug.DData, Group: "line1", Node: "cell-07", Device: "u1"}},
		{"spBv1.0/line1/DCMD/cell-07/u1", sparkplug.Topic{Type: sparkplug.DCmd, Group: "line1", Node: "cell-07", Device: "u1"}},
		{"spBv1.0/STATE/andon", sparkplug.Topic{Type: sparkplug.HostState, Host: "andon"}},
		{"spBv1.0/Halle 3/NBIRTH/Prüfstand.1", sparkplug.Topic{Type: sparkplug.NBirth, Group: "Halle 3", Node: "Prüfstand.1"}},
		{"spBv1.0/STATE/NBIRTH/n", sparkplug.Topic{Type: sparkplug.NBirth, Group: "STATE", Node: "n"}},
		{"spBv1.0/" + long + "/NBIRTH/n", sparkplug.Topic{Type: sparkplug.NBirth, Group: long, Node: "n"}},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := sparkplug.ParseTopic(tt.text)
			if err != nil || got != tt.want {
				t.Errorf("ParseTopic = %+v, %v; want %+v", got, err, tt.want)
			}
			if s := tt.want.String(); s != tt.text {
				t.Errorf("String() = %q", s)
			}
			if tt.want.Type.OfDevice() != (tt.want.Device != "") {
				t.Errorf("OfDevice() of %v is %v", tt.want.Type, tt.want.Type.OfDevice())
			}
		})
	}
}

func TestParseTopicRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   "",
		"namespace only":            "spBv1.0",
		"Sparkplug A":               "spAv1.0/g/NBIRTH/n",
		"another namespace":         "andon/latest/g/n",
		"namespace in lower case":   "spbv1.0/g/NBIRTH/n",
		"no node":                   "spBv1.0/g/NBIRTH",
		"empty group":               "spBv1.0//NBIRTH/n",
		"empty node":                "spBv1.0/g/NBIRTH/",
		"empty device":              "spBv1.0/g/DDATA/n/",
		"empty host":                "spBv1.0/STATE/",
		"unknown type":              "spBv1.0/g/NFOO/n",
		"type in lower case":        "spBv1.0/g/nbirth/n",
		"empty type":                "spBv1.0/g//n",
		"STATE where a type stands": "spBv1.0/g/STATE/n",
		"device of a node message":  "spBv1.0/g/NDATA/n/d",
		"device message without":    "spBv1.0/g/DDATA/n",
		"six levels":                "spBv1.0/g/DDATA/n/d/e",
		"host of two levels":        "spBv1.0/STATE/a/b",
		"plus":                      "spBv1.0/+/NBIRTH/n",
		"hash":                      "spBv1.0/g/NBIRTH/#",
		"hash in the device":        "spBv1.0/g/DDATA/n/d#",
		"plus in the host":          "spBv1.0/STATE/+",
		"control character":         "spBv1.0/g/NBIRTH/n\n",
		"NUL":                       "spBv1.0/g/NBIRTH/\x00",
		"not UTF-8":                 "spBv1.0/g/NBIRTH/\xff",
		"id too long":               "spBv1.0/g/NBIRTH/" + strings.Repeat("x", sparkplug.MaxID+1),
		"leading slash":             "/spBv1.0/g/NBIRTH/n",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := sparkplug.ParseTopic(text); err == nil || got != (sparkplug.Topic{}) {
				t.Errorf("ParseTopic = %+v, %v; want an error", got, err)
			}
		})
	}
	if s := sparkplug.MessageType(99).String(); s != "" {
		t.Errorf("type 99 is %q", s)
	}
}
