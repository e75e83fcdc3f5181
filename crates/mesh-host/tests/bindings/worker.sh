#!/bin/sh
# A worker that speaks docs/worker-protocol.md with nothing but the shell: `ask` asks, `wait` waits, anything else is said
# back in two chunks.
event() { printf '{"type":"event","task":"%s","attempt":%s,%s}\n' "$task" "$attempt" "$1"; }
say_back() {
  event '"kind":"status","text":"at it"'
  event '"kind":"artifact","artifact":{"artifactId":"out","name":"Out","parts":[{"text":"one, "}]},"append":false,"lastChunk":false'
  event '"kind":"artifact","artifact":{"artifactId":"out","parts":[{"data":{"n":[1,2.5,null,true]}},{"raw":"aGk="}]},"append":true,"lastChunk":true'
  event '"kind":"state","state":"completed","text":"done"'
}
printf '{"type":"hello","protocol":1,"sdk":"sh"}\n'
while IFS= read -r line; do
  case $line in
    '{"type":"config"'*) printf '{"type":"ready","framework":"sh"}\n' ;;
    '{"type":"ping"'*) id=${line#*'"id":'}; printf '{"type":"pong","id":%s}\n' "${id%%\}*}" ;;
    '{"type":"task"'*)
      task=${line#*'"task":"'}; task=${task%%\"*}
      attempt=${line#*'"attempt":'}; attempt=${attempt%%,*}
      case $line in
        *'"text":"ask"'*) event '"kind":"state","state":"input-required","text":"Who?"' ;;
        *'"text":"wait"'*) event '"kind":"status","text":"waiting"' ;;
        *) say_back ;;
      esac ;;
    '{"type":"input"'*)
      task=${line#*'"task":"'}; task=${task%%\"*}
      say_back ;;
    '{"type":"cancel"'*)
      task=${line#*'"task":"'}; task=${task%%\"*}
      event '"kind":"state","state":"canceled"' ;;
  esac
done
