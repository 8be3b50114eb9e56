// Keeps the numbers of a run that goes on up to date; the page is whole without it.
"use strict";
const live = document.getElementById("live");
if (live && live.dataset.live) {
    const again = async () => {
        try {
            const reply = await fetch(live.dataset.live, { cache: "no-cache" });
            if (reply.ok) {
                const page = new DOMParser().parseFromString(await reply.text(), "text/html");
                const fresh = page.getElementById("live");
                if (fresh.innerHTML !== live.innerHTML)
                    live.replaceChildren(...fresh.childNodes);
                if (fresh.dataset.state !== "goes on") {
                    location.reload();
                    return;
                }
            }
        } catch {
            // The server is away: it may come back.
        }
        setTimeout(again, document.hidden ? 30000 : 3000);
    };
    setTimeout(again, 3000);
}
