// Why a connection ended. Spec: 04 §4.3, §4.7.
import { expect } from 'chai';
import { applicationEnd, EndReason, endReasonName } from '../../../src/core/connection/end-reason.ts';

describe('end reason', () => {
  it('has a name, or the name of its range', () => {
    expect(endReasonName(5003)).to.equal('Misc_Timeout');
    expect(endReasonName(1000)).to.equal('App_Generic');
    expect([1001, 2500, 3999, 4999, 5999].map(endReasonName)).to.deep.equal([
      'App',
      'AppException',
      'Local',
      'Remote',
      'Misc',
    ]);
    expect([1, 999, 6000, 65_000, -1].map(endReasonName)).to.deep.equal(new Array(5).fill('Invalid'));
    expect(endReasonName(0)).to.equal('None');
  });

  it('of an application is kept where it is one of its own', () => {
    expect(applicationEnd(1000, 'a')).to.deep.equal({ reason: 1000, debug: 'a' });
    expect(applicationEnd(2999, 'b')).to.deep.equal({ reason: 2999, debug: 'b' });
  });

  it('is the ordinary one where the application gives 0', () => {
    expect(applicationEnd(0, 'a').reason).to.equal(EndReason.App_Generic);
  });

  it('is the last of the ordinary ones, with a text of ours, where the number is none of an application', () => {
    for (const reason of [1, 999, 3000, 5003, -5, 1000.5, Number.NaN]) {
      const end = applicationEnd(reason, 'mine');
      expect(end.reason).to.equal(EndReason.App_Max);
      expect(end.debug).to.not.equal('mine');
    }
  });

  it('has a text in any case', () => {
    expect(applicationEnd(1000, '').debug).to.not.equal('');
    expect(applicationEnd(2000, '').debug).to.not.equal(applicationEnd(1000, '').debug);
  });
});
