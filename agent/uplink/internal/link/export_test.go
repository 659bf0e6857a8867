package link

import mqtt "github.com/eclipse/paho.mqtt.golang"

// Forget makes the library take packets and never say more of them, as it does now and
// then with one that meets the end of the connection. It must come before Send.
func (l *Link) Forget() { l.client = forgetful{l.client} }

type forgetful struct{ mqtt.Client }

func (forgetful) Publish(string, byte, bool, any) mqtt.Token { return endless{} }

type endless struct{ mqtt.Token }

func (endless) Done() <-chan struct{} { return nil }
