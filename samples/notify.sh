#!/bin/sh
# Run a job and tell a chat how it ended: samples/notify.sh names.csv --yes
# CHAT_WEBHOOK is the URL of an incoming webhook that takes {"text": …}: Slack, Mattermost, Google Chat. WeCom and DingTalk
# take {"msgtype": "text", "text": {"content": …}}.
batch-alias run "$@"
code=$?
case $code in
0) text="All aliases are set." ;;
1) text="Some aliases are not set. See report.html." ;;
4) text="Stopped by RongCloud or the network. The same command goes on." ;;
130) text="Interrupted. The same command goes on." ;;
*) text="Not done: exit code $code. See the log." ;;
esac
curl --silent --show-error --header 'Content-Type: application/json' --data "{\"text\": \"$1: $text\"}" "$CHAT_WEBHOOK"
exit $code
