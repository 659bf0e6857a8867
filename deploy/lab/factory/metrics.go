package factory

import (
	"strconv"
	"strings"
)

// parseMetrics reads Prometheus's text form as far as our own daemons write it: no
// time stamps, no escaped label values. Lines that are not so are passed over.
func parseMetrics(text string) map[string]float64 {
	out := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			continue
		}
		series := line[:i]
		if name, _, labelled := strings.Cut(series, "{"); labelled {
			out[series] = value
			out[name] += value
		} else {
			out[series] += value
		}
	}
	return out
}
