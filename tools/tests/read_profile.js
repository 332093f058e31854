// SPDX-License-Identifier: GPL-2.0
// node read_profile.js FOLDER pprof-format|speedscope FILE: what the packages of npm in FOLDER
// (scripts/readers) find in a profile that kmheap has written, as JSON: views, each with the weights of
// its stacks, outermost frame first.
"use strict";
const fs = require("fs"), path = require("path"), vm = require("vm"), zlib = require("zlib");
const [folder, reader, file] = process.argv.slice(2);

// profile.proto, by its decoder.
function pprofFormat(contents) {
	const {Profile} = require(path.join(folder, "pprof-format/dist/commonjs/index.js"));
	const found = Profile.decode(file.endsWith(".gz") ? zlib.gunzipSync(contents) : contents);
	const text = (n) => found.stringTable.strings[Number(n)];
	const by = (list) => new Map(list.map((one) => [Number(one.id), one]));
	const locations = by(found.location), functions = by(found.function);
	const name = (id) => text(functions.get(Number(locations.get(Number(id)).line[0].functionId)).name);
	return {
		period: [Number(found.period), text(found.periodType.type), text(found.periodType.unit)],
		views: found.sampleType.map((type, i) => ({
			name: text(type.type), unit: text(type.unit),
			stacks: found.sample.map((sample) => [sample.locationId.map(name).reverse(),
				Number(sample.value[i])]),
		})),
		labels: found.sample.map((sample) => Object.fromEntries(sample.label.map(
			(label) => [text(label.key), text(label.str) || Number(label.num)]))),
	};
}

// What its page does with a file that is dropped there. The page is one script: all of it runs but the
// last statement, which draws, and the function that reads files is given out instead.
async function speedscope(contents) {
	const release = path.join(folder, "speedscope/dist/release");
	const script = fs.readdirSync(release).find((name) => /^speedscope-.*\.js$/.test(name));
	let text = fs.readFileSync(path.join(release, script), "utf8");
	const [, read] = /async function ([\w$]+)\(\w,\w\)\{return\(await [\w$]+\)\.importProfilesFromArrayBuffer/
		.exec(text);
	text = `${text.slice(0, text.lastIndexOf("console.log(`speedscope v"))}globalThis.read=${read};})();`;
	const nothing = new Proxy(function () {}, {
		get: (_, key) => key === Symbol.toPrimitive ? () => "" : nothing,
		apply: () => nothing, construct: () => nothing, set: () => true});
	Object.assign(globalThis, {window: globalThis, document: nothing, addEventListener() {},
		location: {href: "http://x/", hash: ""}, matchMedia: () => nothing});
	console.log = () => {};
	vm.runInThisContext(text);
	const group = await globalThis.read(path.basename(file),
		contents.buffer.slice(contents.byteOffset, contents.byteOffset + contents.length));
	return {name: group.name, views: group.profiles.map((profile) => {
		const stacks = [], stack = [];
		let last = 0;
		const until = (value) => {
			if (value > last)
				stacks.push([stack.slice(), value - last]);
			last = value;
		};
		profile.forEachCall((node, value) => {
			until(value);
			stack.push(node.frame.name);
		}, (_, value) => {
			until(value);
			stack.pop();
		});
		return {name: profile.getName(), unit: profile.getWeightUnit(),
			total: profile.getTotalWeight(), stacks};
	})};
}

(async () => {
	const contents = fs.readFileSync(file);
	const found = reader === "speedscope" ? await speedscope(contents) : pprofFormat(contents);
	process.stdout.write(JSON.stringify(found));
})();
