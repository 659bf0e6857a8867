package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Text writes the figures for people.
func (r *Report) Text(out io.Writer) error {
	if r.Short {
		fmt.Fprintln(out, "short form: these figures are not for quoting")
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DURABLE IN A SECOND\tbuffer MB/s\trecords/s\tplain file MB/s\trecords/s\tratio (least to most)\ttarget")
	for i := range r.Speeds {
		s := &r.Speeds[i]
		what := fmt.Sprintf("%d x %d B, one batch after the other", s.Records, s.RecordBytes)
		if s.Stream {
			what = fmt.Sprintf("as fast as it can, %d x %d B in a batch", s.Records, s.RecordBytes)
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.0f\t%.1f\t%.0f\t%.2f (%.2f to %.2f)\t>= %.2f: %s\n", what, s.Buffer.Bytes/1e6, s.Buffer.Records,
			s.Plain.Bytes/1e6, s.Plain.Records, s.Ratio.Median, s.Ratio.Least, s.Ratio.Most, SpeedTarget, verdict(s.Met()))
	}
	fmt.Fprintln(w, "\nWRITTEN FOR A BYTE STORED\tpages\tprocess\tdevice\t\t\ttarget")
	for i := range r.Wears {
		x := &r.Wears[i]
		device := "not counted"
		if x.Device > 0 {
			device = fmt.Sprintf("%.2f", float64(x.Device)/float64(x.Stored))
		}
		fmt.Fprintf(w, "write: %s, %d x %d B together\t%.2f\t%.2f\t%s\t\t\t<= %.2f: %s\n", x.Write, x.Records, x.RecordBytes,
			float64(x.Pages)/float64(x.Stored), float64(x.Process)/float64(x.Stored), device, AmplificationTarget, verdict(x.Met()))
	}
	return w.Flush()
}

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "MISSED"
}
